#!/bin/sh
# Starts one Sentinel. It keeps what it knows in its folder; without one it believes the others; where no Sentinel knows
# anything, the node that leads, or that the others follow; and where there is none, the first of NODES is the primary. What it
# kept has addresses, which are corrected where they are others now.
# Run by init.sh.
# Environment: SELF, NODES, SENTINELS, REDISCLI_AUTH and DATA as in start-redis.sh; DOWN_AFTER_MS.
set -u
. "$(dirname "$0")/ask.sh"

conf=$DATA/sentinel.conf
mkdir -p "$DATA" || exit 1
find_addresses

# The addresses that the rest of the file was written with, as comments in it, since both must change in the same moment.
marks() { printf '%s\n' "$ADDRESSES" | awk 'NF == 2 && !seen[$1]++ { print "# address", $1, $2 }' | sort; }

# Replaces whole words in the lines that have addresses, all in one pass, since an address may now be that of another node.
# Host names are in a file of an older version. Two lines may have become the same, or a replica the primary: Sentinel would
# not start. What is no node is an address of long ago; a replica that is there all the same is found again at once. Nor is it
# another one itself.
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

# The node that leads by its own word, or that most of those that answer follow. (All Sentinels have lost their folders.)
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
  # Another Sentinel may have told it an address of long ago, as that of a later fail-over.
  named=$(awk '$2 == "monitor" { print $4 }' "$conf")
  case " $(echo $pairs)" in *" $named="*) ;; *)
    now=$(meant "$named" "$SELF" "$SELF")
    [ "$now" = - ] || pairs="$pairs $named=$now"
    ;;
  esac
  # the password is the one that there is now, if this node is told of one
  healed=$(grep -v -e '^# address ' -e '^sentinel [a-z]*-hostnames ' ${REDISCLI_AUTH:+-e '^sentinel auth-pass '} "$conf" |
    replace "$(echo $pairs)" 'monitor|announce-ip|known-replica|known-slave|known-sentinel')
  mine=$(printf '%s\n' "$healed" | awk '$2 == "monitor" { print $4 }')
  epoch=$(printf '%s\n' "$healed" | awk '$2 == "config-epoch" { print $4 }')
  # What most others agree on is right, unless a later fail-over is known here: watch.sh has the reason.
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
    # they are healed by their watch.sh, or decide by the nodes
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
    # a fail-over that did not succeed is tried again after twice this time; Redis's default is three minutes
    echo "sentinel failover-timeout $NAME 2000"
    # all replicas turn to the new primary at once: nobody reads from them meanwhile
    echo "sentinel parallel-syncs $NAME 5"
    [ -z "${REDISCLI_AUTH:-}" ] || echo "sentinel auth-pass $NAME $REDISCLI_AUTH"
  } >"$conf.new"
fi
mv "$conf.new" "$conf"
remember "$ADDRESSES"
# Sentinel keeps it in memory only: it is set at each start. Not as a child of Sentinel, which would log that it does not know it.
set_info_period() {
  until [ "$(to_sentinel 127.0.0.1 SENTINEL DEBUG info-period $INFO_PERIOD_MS)" = OK ]; do
    sleep 0.5
    kill -0 $$ 2>/dev/null || return
  done
}
(set_info_period &)
exec redis-server "$conf" --sentinel --protected-mode no --dir "$DATA"
