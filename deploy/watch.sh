#!/bin/sh
# Runs beside a server, in the background. It resolves the names of the nodes again, because a recreated Service has another
# address; repairs Sentinel's state; and restarts a Redis that cannot find its primary. It acts on what it sees twice in a row;
# silence of DNS means nothing.
# usage: watch.sh redis|sentinel PID
# PID is init.sh's, which restarts the server on SIGUSR1; start-redis.sh and start-sentinel.sh then make the repair.
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
  # names that DNS does not resolve now keep the address of the previous round
  moved="$differing
$(printf '%s\n' "$moved" | while read -r name address; do
    case "$found" in *"$name "*) ;; *) echo "$name $address" ;; esac
  done)"
  moved=$(printf '%s\n' "$moved" | sed '/^ *$/d')
  [ -n "$twice" ] || return 0
  if [ "$kind" = sentinel ] || printf '%s\n' "$twice" | grep -q "^$SELF_AS_GIVEN "; then
    restart "new addresses: $(echo $twice)"
  fi
  # A Redis needs no restart for other nodes' addresses: Sentinel reconfigures its primary.
  echo "watch: new addresses: $(echo $twice)"
  remember "$twice
$(remembered)"
}

# A hand-over that was killed leaves its temporary INFO period in Sentinel: set it back.
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

# Detects what Sentinel does not correct by itself; start-sentinel.sh then does. Sentinel trusts others by epoch alone: if it
# could not use what they announced (a name, or an address that was replaced meanwhile), it names another primary than they do
# until the next fail-over. And it never forgets a replica: a replaced address stays in its list as down, and counts as a node.
stray=''
watch_knowledge() {
  before=$stray stray=''
  answers=$(survey)
  set -- $(printf '%s\n' "$answers" | awk -v self="$SELF" '$1 == self')
  [ $# -gt 2 ] || return 0 # it does not answer
  theirs=$(chosen_by_most "$answers" "$3")
  if [ "$theirs" != "$2" ] && is_node "$theirs"; then stray="most Sentinels name $theirs"; fi
  # an outdated address, which a Sentinel that was not repaired yet announced as that of a later fail-over
  [ "$2" = "$6" ] || ! is_node "$2" || stray="$stray it names $6 for $2"
  # If it knows another Sentinel by an address that is now its own, it receives its own messages and counts itself twice.
  printf "SENTINEL MYID\nSENTINEL SENTINELS $NAME\n" | to_sentinel "$SELF" |
    awk 'NR == 1 { me = $0 } NR > 1 && $0 == me { found = 1 } END { exit !found }' &&
    stray="$stray it takes itself for another one"
  for ghost in $(to_sentinel "$SELF" SENTINEL REPLICAS $NAME | awk '
    last == "ip" { address = $0 } last == "flags" && /s_down/ { print address } { last = $0 }'); do
    is_node "$ghost" || stray="$stray no node is $ghost"
  done
  [ -z "$stray" ] || [ "$stray" != "$before" ] || restart "$stray"
}

# Detects a Redis that replicates from no node, or is in a ring of replicas (whose links may be up), and that no Sentinel will
# reconfigure: Sentinels do so only while the primary that they name reports that it leads, and only for replicas that they know.
# start-redis.sh then decides anew. This state does not occur in a fail-over, where the configured primary is a node and Sentinels
# name a promoted node only when it reports that it leads. It is ignored during a full copy.
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
    # A node that leads, or a silent one from which this one replicates, may have more data. When it is back, Sentinel
    # reconfigures it.
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
