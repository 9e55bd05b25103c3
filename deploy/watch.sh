#!/bin/sh
# Beside a server, in the background. It looks the names of the nodes up again, since a Service that was made anew has another
# address, keeps Sentinel as it should be, and ends the wait of a Redis that follows nobody. What it sees twice in a row it
# acts on; that DNS is silent means nothing.
# usage: watch.sh redis|sentinel PID: who restarts the server on SIGUSR1 (init.sh); start-redis.sh and start-sentinel.sh do the rest
set -u
. "$(dirname "$0")/ask.sh"

kind=$1 init=$2
WATCH_S=10

restart() {
  echo "watch: $*: the server is restarted"
  kill -USR1 "$init"
  exit
}

moved=''
watch_names() {
  found=$(look_up_all)
  differing=$(printf '%s\n' "$found" | while read -r name address; do
    [ -z "$name" ] || [ "$(address_of "$name")" = "$address" ] || echo "$name $address"
  done)
  twice=$(printf '%s\n' "$differing" | grep -Fx "${moved:-none}")
  # of names that DNS did not answer now, what it said before counts on
  moved="$differing
$(printf '%s\n' "$moved" | while read -r name address; do
    case "$found" in *"$name "*) ;; *) echo "$name $address" ;; esac
  done)"
  moved=$(printf '%s\n' "$moved" | sed '/^ *$/d')
  [ -n "$twice" ] || return 0
  if [ "$kind" = sentinel ] || printf '%s\n' "$twice" | grep -q "^$SELF_AS_GIVEN "; then
    restart "new addresses: $(echo $twice)"
  fi
  # Of the others a Redis needs to know no more: Sentinel tells it whom to follow.
  echo "watch: new addresses: $(echo $twice)"
  remember "$twice
$(remembered)"
}

# A hand-over that was killed leaves Sentinel with its own period of INFO.
odd=no
watch_period() {
  case $(to_sentinel "$SELF" SENTINEL DEBUG) in
    '' | *"INFO-PERIOD
$INFO_PERIOD_MS"*) odd=no ;;
    *)
      [ $odd = no ] || to_sentinel "$SELF" SENTINEL DEBUG info-period $INFO_PERIOD_MS >/dev/null
      odd=yes
      ;;
  esac
}

# What Sentinel does not correct by itself, start-sentinel.sh does. It believes others by the epoch alone: where it did not understand
# what they said (a name, an address that was replaced meanwhile), it would name another primary than they do until the next
# fail-over. And it never forgets a replica: an address that was replaced stays one that is down, and counts as a node.
stray=''
watch_knowledge() {
  before=$stray stray=''
  answers=$(survey)
  set -- $(printf '%s\n' "$answers" | awk -v self="$SELF" '$1 == self')
  [ $# -gt 2 ] || return 0 # it does not answer
  theirs=$(chosen_by_most "$answers" "$3")
  if [ "$theirs" != "$2" ] && is_node "$theirs"; then stray="most Sentinels name $theirs"; fi
  # an address of long ago, which a Sentinel that was not healed yet told it as that of a later fail-over
  [ "$2" = "$6" ] || ! is_node "$2" || stray="$stray it names $6 for $2"
  # What it sends to a Sentinel at an address that is its own now, it receives, and then counts itself twice.
  printf "SENTINEL MYID\nSENTINEL SENTINELS $NAME\n" | to_sentinel "$SELF" |
    awk 'NR == 1 { me = $0 } NR > 1 && $0 == me { found = 1 } END { exit !found }' &&
    stray="$stray it takes itself for another one"
  for ghost in $(to_sentinel "$SELF" SENTINEL REPLICAS $NAME | awk '
    last == "ip" { address = $0 } last == "flags" && /s_down/ { print address } { last = $0 }'); do
    is_node "$ghost" || stray="$stray no node is $ghost"
  done
  [ -z "$stray" ] || [ "$stray" != "$before" ] || restart "$stray"
}

# A Redis that follows nobody, or a ring of nodes of which none leads (its links may be up), and that nobody will tell to
# follow another one: Sentinels do so only while the primary that they name says that it leads, and only to replicas that they
# know. start-redis.sh decides anew. Not in a fail-over: there the followed address is a node's, and Sentinels name a promoted
# node only when it says that it leads. Nor during a full copy.
stuck=''
watch_following() {
  before=$stuck stuck=''
  mine=$(cli 127.0.0.1 6379 INFO)
  case $mine in
    *loading:1* | *master_sync_in_progress:1*) return 0 ;;
    *role:slave*) ;;
    *) return 0 ;;
  esac
  followed=$(address_of "$(info master_host "$mine")")
  if is_node "$followed" && [ "$followed" != "$SELF" ]; then
    case $(cli "$followed" 6379 ROLE) in master*) return 0 ;; esac
  elif [ "$(info master_link_status "$mine")" = up ]; then
    return 0
  fi
  chosen=$(chosen_by_most "$(survey)")
  is_node "$chosen" || return 0
  if [ "$followed" = "$SELF" ]; then
    stuck="it follows itself, most Sentinels name $chosen"
  elif [ "$chosen" = "$SELF" ]; then
    # Who leads, or is followed and silent, may have more than this one. When it comes back, it will follow.
    roles=$(
      for node in $NODES; do
        echo "$node $(cli "$node" 6379 ROLE | sed -n 1p)" &
      done
      wait
    )
    case $roles in *" master"*) return 0 ;; esac
    if is_node "$followed"; then
      case $roles in *"$followed slave"*) ;; *) return 0 ;; esac
    fi
    stuck="it follows $followed, most Sentinels name this node"
  elif ! is_node "$followed"; then
    case $(cli "$chosen" 6379 ROLE) in master*) stuck="it follows $followed, which is no node; $chosen leads" ;; esac
  fi
  [ -z "$stuck" ] || [ "$stuck" != "$before" ] || restart "$stuck"
}

while sleep $WATCH_S && kill -0 "$init" 2>/dev/null; do
  if [ -n "$NAMES" ]; then
    use_addresses "$(remembered)"
    [ -n "$ADDRESSES" ] || continue # not started yet
    watch_names
  fi
  use_addresses "$(remembered)" || continue
  if [ "$kind" = sentinel ]; then
    watch_period
    watch_knowledge
  else
    watch_following
  fi
done
