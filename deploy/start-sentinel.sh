#!/bin/sh
# Starts one Sentinel. Its state is kept in its folder, and outdated addresses in it are corrected. Without a folder it takes the
# primary from the other Sentinels; if none knows one, it is the node that leads or that most others replicate from; if there is
# none, the first of NODES. Run by init.sh.
# Environment: SELF, NODES, SENTINELS, REDISCLI_AUTH and DATA as in start-redis.sh; DOWN_AFTER_MS.
set -u
. "$(dirname "$0")/ask.sh"

conf=$DATA/sentinel.conf
mkdir -p "$DATA" || exit 1
find_addresses

# Prints, as comments for sentinel.conf, the addresses with which the file is written: both must change atomically.
marks() { printf '%s\n' "$ADDRESSES" | awk 'NF == 2 && !seen[$1]++ { print "# address", $1, $2 }' | sort; }

# Replaces whole words in the lines that have addresses, all in one pass, because an address may now belong to another node. Names
# occur in files of an older version. Then drops lines with which Sentinel would not start or would be wrong: duplicate replicas,
# a replica that is now the primary, a replica at an address that is no node's (a real one is rediscovered at once), and this
# Sentinel itself among the others.
# replace 'OLD=NEW ...' SETTING|SETTING...
replace() {
  awk -v pairs="$1" -v settings="^($2)\$" -v nodes=" $(echo $NODES) " '
    BEGIN { n = split(pairs, list, " "); for (i = 1; i <= n; i++) { split(list[i], pair, "="); to[pair[1]] = pair[2] } }
    $1 == "sentinel" && $2 ~ settings {
      for (i = 3; i <= NF; i++) { word = $i; gsub(/"/, "", word); if (word in to) $i = to[word] }
    }
    $2 == "monitor" { primary = $4 }
    $2 == "myid" { me = $3 }
    $2 == "known-sentinel" && $6 == me { next }
    $2 ~ /^known-(replica|slave)$/ && ($4 == primary || seen[$4]++ || !index(nodes, " " $4 " ")) { next }
    { print }'
}

# The node that reports that it leads, or from which most nodes that answer replicate. Used when no Sentinel knows a primary.
followed() {
  for node in $NODES; do
    {
      its=$(cli "$node" 6379 INFO replication)
      case $its in
        *role:master*) echo "$node" ;;
        *role:slave*) meant "$(address_of "$(info master_host "$its")")" "$SELF" "$SELF" ;;
      esac
    } &
  done | grep -v '^-$' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }'
}

if [ -s "$conf" ]; then
  pairs=$(for name in $NAMES; do
    now=$(address_of "$name")
    echo "$name=$now"
    sed -n "s/^# address $name \(.*\)/\1=$now/p" "$conf"
  done)
  # Another Sentinel may have announced a later fail-over with an outdated address.
  named=$(awk '$2 == "monitor" { print $4 }' "$conf")
  case " $(echo $pairs)" in *" $named="*) ;; *)
    now=$(meant "$named" "$SELF" "$SELF")
    [ "$now" = - ] || pairs="$pairs $named=$now"
    ;;
  esac
  # use the current password, if this node is given one
  healed=$(grep -v -e '^# address ' -e '^sentinel [a-z]*-hostnames ' ${REDISCLI_AUTH:+-e '^sentinel auth-pass '} "$conf" |
    replace "$(echo $pairs)" 'monitor|announce-ip|known-replica|known-slave|known-sentinel')
  mine=$(printf '%s\n' "$healed" | awk '$2 == "monitor" { print $4 }')
  epoch=$(printf '%s\n' "$healed" | awk '$2 == "config-epoch" { print $4 }')
  # The majority of the others is right, unless this Sentinel knows of a later fail-over: watch.sh has the reason.
  theirs=$(chosen_by_most "$(survey)" "${epoch:-0}")
  if is_node "$theirs" && [ "$theirs" != "$mine" ]; then
    say "$theirs is the primary by the word of the others, not $mine"
    healed=$(printf '%s\n' "$healed" | replace "$mine=$theirs $theirs=$mine" 'monitor|known-replica|known-slave')
  fi
  {
    marks
    printf '%s\n' "$healed"
    [ -z "${REDISCLI_AUTH:-}" ] || echo "sentinel auth-pass $NAME $REDISCLI_AUTH"
  } >"$conf.new"
else
  said=''
  while ask_sentinels && [ -z "$primary" ] && [ -n "$doubt" ]; do
    # not resolved by waiting: their watch.sh repairs them, or this one decides by the nodes
    case $doubt in *disagree*) break ;; esac
    [ "$said" = "$doubt" ] || say "waiting: $doubt"
    said=$doubt
    sleep 1
    look_again
  done
  [ -n "$primary" ] || primary=$(followed)
  [ -n "$primary" ] || primary=$(set -- $NODES && echo "$1")
  say "a new Sentinel: $primary is the primary"
  {
    marks
    echo "sentinel announce-ip $SELF"
    echo "sentinel monitor $NAME $primary 6379 $majority"
    echo "sentinel down-after-milliseconds $NAME ${DOWN_AFTER_MS:-1000}"
    # ms; a failed fail-over is retried after twice this time; Redis's default is three minutes
    echo "sentinel failover-timeout $NAME 2000"
    # all replicas switch to the new primary at once: nobody reads from them meanwhile
    echo "sentinel parallel-syncs $NAME 5"
    [ -z "${REDISCLI_AUTH:-}" ] || echo "sentinel auth-pass $NAME $REDISCLI_AUTH"
  } >"$conf.new"
fi
mv "$conf.new" "$conf"
remember "$ADDRESSES"
# Sentinel keeps the period in memory only, so it is set at each start. Not a child of Sentinel, which would log an unknown child.
set_info_period() {
  until [ "$(to_sentinel 127.0.0.1 SENTINEL DEBUG info-period $INFO_PERIOD_MS)" = OK ]; do
    sleep 0.5
    kill -0 $$ 2>/dev/null || return
  done
}
(set_info_period &)
exec redis-server "$conf" --sentinel --protected-mode no --dir "$DATA"
