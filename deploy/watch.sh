#!/bin/sh
# Beside a server, in the background. It looks the names of the nodes up again, since a Service that was made anew has another
# address, and keeps Sentinel as it should be. What it sees twice in a row it acts on; that DNS is silent means nothing.
# usage: watch.sh redis|sentinel PID: who restarts the server on SIGUSR1 (init.sh); start-redis.sh and start-sentinel.sh do the rest
set -u
. "$(dirname "$0")/ask.sh"

kind=$1 init=$2
SELF_NAME=$SELF
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
  case $(cli "$SELF" 26379 SENTINEL DEBUG) in
    '' | *"INFO-PERIOD
$INFO_PERIOD_MS"*) odd=no ;;
    *)
      [ $odd = no ] || cli "$SELF" 26379 SENTINEL DEBUG info-period $INFO_PERIOD_MS >/dev/null
      odd=yes
      ;;
  esac
}

# Sentinel believes others by the epoch alone. Where it did not understand what they said (a name, an address that was replaced meanwhile), it
# would name another primary than they do until the next fail-over.
stray=''
watch_primary() {
  before=$stray
  stray=$(outvoted_by)
  [ -z "$stray" ] || [ "$stray" != "$before" ] || restart "most Sentinels name $stray"
}

while sleep $WATCH_S && kill -0 "$init" 2>/dev/null; do
  use_new_addresses || continue # not started yet
  [ -z "$NAMES" ] || watch_names
  if [ "$kind" = sentinel ]; then
    unset REDISCLI_AUTH
    watch_period
    watch_primary
  fi
done
