#!/bin/sh
# Starts one Sentinel. It keeps what it knows in its folder; without one it believes the others, and where nobody knows
# anything, the first of NODES is the primary.
# Environment: SELF, NODES, SENTINELS, REDISCLI_AUTH and DATA as in start-redis.sh; DOWN_AFTER_MS.
set -u
here=$(dirname "$0")
. "$here/ask.sh"

DATA=${DATA:-/data}
conf=$DATA/sentinel.conf
mkdir -p "$DATA" || exit 1
if [ ! -s "$conf" ]; then
  ask_sentinels
  [ -n "$primary" ] || primary=${NODES%% *}
  majority=$(($(count $SENTINELS) / 2 + 1))
  say "a new Sentinel: $primary is the primary"
  {
    echo "sentinel resolve-hostnames yes"
    echo "sentinel announce-hostnames yes"
    echo "sentinel announce-ip $SELF"
    echo "sentinel monitor $NAME $primary 6379 $majority"
    echo "sentinel down-after-milliseconds $NAME ${DOWN_AFTER_MS:-1000}"
    # a fail-over that did not succeed is tried again after twice this time; Redis's default is three minutes
    echo "sentinel failover-timeout $NAME 2000"
    # all replicas turn to the new primary at once: nobody reads from them meanwhile
    echo "sentinel parallel-syncs $NAME 5"
    [ -z "${REDISCLI_AUTH:-}" ] || echo "sentinel auth-pass $NAME $REDISCLI_AUTH"
  } >"$conf.new"
  mv "$conf.new" "$conf"
fi
# Sentinel keeps it in memory only: it is set at each start.
(
  unset REDISCLI_AUTH
  until [ "$(cli 127.0.0.1 26379 SENTINEL DEBUG info-period $INFO_PERIOD_MS)" = OK ]; do sleep 0.5; done
) &
exec redis-server "$conf" --sentinel --protected-mode no --dir "$DATA"
