#!/bin/sh
# Beside a server, in the background. It looks the names of the nodes up again, since a Service that was made anew has another
# address, and keeps Sentinel as it should be. What it sees twice in a row it acts on; that DNS is silent means nothing.
# usage: watch.sh redis|sentinel PID: who restarts the server on SIGUSR1 (init.sh); start-redis.sh and start-sentinel.sh do the rest
set -u
. "$(dirname "$0")/ask.sh"

kind=$1 init=$2
SELF_NAME=$SELF
WATCH_S=10
[ -n "$NAMES" ] || [ "$kind" = sentinel ] || exit 0 # nothing to watch

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
  if [ "$kind" = sentinel ] || printf '%s\n' "$twice" | grep -q "^$SELF_NAME "; then
    restart "new addresses: $(echo $twice)"
  fi
  # Of the others a Redis needs to know no more: Sentinel tells it whom to follow.
  echo "watch: new addresses: $(echo $twice)"
  remember "$twice
$(remembered)"
  use_new_addresses
}

SELF_AS_GIVEN=$SELF NODES_AS_GIVEN=$NODES SENTINELS_AS_GIVEN=$SENTINELS
use_new_addresses() {
  SELF=$SELF_AS_GIVEN NODES=$NODES_AS_GIVEN SENTINELS=$SENTINELS_AS_GIVEN
  use_addresses "$(remembered)"
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
  for ghost in $(to_sentinel "$SELF" SENTINEL REPLICAS $NAME | awk '
    last == "ip" { address = $0 } last == "flags" && /s_down/ { print address } { last = $0 }'); do
    is_node "$ghost" || stray="$stray no node is $ghost"
  done
  [ -z "$stray" ] || [ "$stray" != "$before" ] || restart "$stray"
}

while sleep $WATCH_S && kill -0 "$init" 2>/dev/null; do
  use_new_addresses || continue # not started yet
  [ -z "$NAMES" ] || watch_names
  if [ "$kind" = sentinel ]; then
    watch_period
    watch_knowledge
  fi
done
