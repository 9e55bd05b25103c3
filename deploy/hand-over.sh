#!/bin/sh
# Planned fail-over without loss: run on the primary, it promotes a replica and makes this node a replica of it. On other nodes,
# and when it is run again, it does nothing. init.sh runs it before a planned stop; to run it by hand see docs/operations.md.
# usage: hand-over.sh [LIMIT_S], 10 s by default. Exits with 0 when another node leads, otherwise with 1 and a message.
# Environment: SELF, NODES, SENTINELS, DATA and REDISCLI_AUTH as in start-redis.sh.
set -u
. "$(dirname "$0")/ask.sh"

say() { echo "hand-over: $*"; }

# Hundredths of a second, by a monotonic clock.
now() {
  read -r up _ </proc/uptime
  echo "${up%.*}${up#*.}"
}

limit_s=${1:-10}
case $limit_s in '' | *[!0-9]* | 0) say "usage: hand-over.sh [LIMIT_S]" >&2 && exit 1 ;; esac
started=$(now)
deadline=$((started + limit_s * 100))
# Longer than the limit: if a fail-over has begun and not ended by then, the old primary must still take no writes. Sentinel gives
# up a fail-over after 2 s (failover-timeout), and demotes an old primary after 8 to 10 s.
PAUSE_MS=$(((limit_s + 10) * 1000))

here() { cli 127.0.0.1 6379 "$@"; }

paused=no asked=no
fail() {
  trap '' INT TERM HUP
  say "$*" >&2
  if [ $paused = yes ]; then
    answers=$(survey)
    failing_over=no
    case $answers in *failover_in_progress*) failing_over=yes ;; esac
    other=$(
      for node in $others; do
        [ "$(cli "$node" 6379 ROLE | sed -n 1p)" = master ] && echo "$node" &
      done
      wait
    )
    if [ -n "$other" ] || { [ $asked = yes ] && [ $failing_over = yes ]; }; then
      # Writes that it took now would be discarded when it is demoted.
      say "${other:-a replica} is being promoted: writes stay paused here, for at most 10 s more" >&2
    else
      [ "$(here CLIENT UNPAUSE)" = OK ] && say 'this node leads on, writes are no longer paused' >&2
    fi
  fi
  exit 1
}
# An interrupted hand-over must not leave writes paused.
trap 'fail "interrupted"' INT TERM HUP

use_addresses "$(remembered)" || fail "no address is known of$unknown"
others=$(for node in $NODES; do [ "$node" = "$SELF" ] || echo "$node"; done)

mine=$(here INFO)
case $mine in
  *loading:1*) fail 'this node is still loading' ;;
  *role:master*) ;;
  *role:slave*) say 'this node does not lead: nothing to do' && exit 0 ;;
  *) fail 'this node does not answer' ;;
esac
lineage=$(info master_replid "$mine")
answers=$(survey)
primary=$(chosen_by_most "$answers")
case $primary in
  "$SELF") ;;
  '') fail "no $majority Sentinels agree on the primary" ;;
  *) say "the Sentinels name $primary: nothing to do" && exit 0 ;;
esac
# Choose the Sentinel for the fail-over: one that sees the primary as healthy and leads no fail-over. The one beside this node is
# the last choice, because it may be stopping as well.
chosen=$(printf '%s\n' "$answers" | awk -v self="$SELF" '
  $5 == "master" && $2 == self && $6 == self { if ($1 == self) beside = $1; else if (other == "") other = $1 }
  END { print other != "" ? other : beside }')
[ -n "$chosen" ] || fail 'no Sentinel is ready for a fail-over'

# Prints, for each candidate: `has ADDRESS LINEAGE OFFSET` if it is a connected replica, and `is ADDRESS` if it answers at all;
# for each replica that Sentinel knows: `known ADDRESS PRIORITY OFFSET`. All are asked in parallel.
compare() {
  {
    to_sentinel "$chosen" SENTINEL REPLICAS $NAME | while read -r name && read -r value; do
      case $name in
        ip) address=$(address_of "$value") ;;
        slave-priority) priority=$value ;;
        slave-repl-offset) echo "known $address $priority $value" ;;
      esac
    done
  } &
  for node in $candidates; do
    {
      its=$(cli "$node" 6379 INFO replication)
      [ -z "$its" ] || echo "is $node"
      case $its in *role:slave*master_link_status:up*)
        echo "has $node $(info master_replid "$its") $(info slave_repl_offset "$its")"
        ;;
      esac
    } &
  done
  wait
}

# Whether Sentinel can only pick a replica that has everything up to `offset` on this lineage; with `appendfsync always` a replica
# reports an offset after its fsync. Sentinel picks the lowest priority except 0, then the highest offset, both from its last
# INFO. So it is safe if all replicas have everything, whatever Sentinel knows of them; or if one has, Sentinel knows that, and no
# other ranks above it by Sentinel's last INFO, including those that do not answer.
pick_is_safe() {
  facts=$(compare)
  candidates=$(printf '%s\n' "$facts" | awk '$1 == "is" { print $2 }') # a silent one would cost 2 s in each round
  why=$(printf '%s\n' "$facts" | awk -v lineage="$lineage" -v offset="$offset" '
    $1 == "has" && $3 == lineage && $4 >= offset + 0 { has[$2] = 1 }
    $1 == "known" && $3 > 0 { priority[$2] = $3; known[$2] = $4 }
    END {
      best = 1000000
      for (each in known) {
        if (!(each in has)) { lacking = lacking " " each ":" priority[each] ":" known[each]; continue }
        some = 1
        if (known[each] >= offset + 0 && priority[each] < best) best = priority[each]
      }
      safe = some
      for (each in known)
        if (!(each in has) && (priority[each] < best || best == 1000000 || (priority[each] == best && known[each] > offset + 0))) safe = 0
      if (!safe) print "behind offset " offset ":" (lacking == "" ? " none" : lacking) " (address:priority:offset as Sentinel knows it)"
    }')
  [ -z "$why" ]
}

info_period() { to_sentinel "$chosen" SENTINEL DEBUG info-period "$1" >/dev/null; }
trap 'info_period $INFO_PERIOD_MS' EXIT

# wait_for_pick OFFSET: waits until Sentinel can only pick a replica that has everything up to that offset
wait_for_pick() {
  offset=$1
  until pick_is_safe; do
    [ -n "$candidates" ] || fail 'no other node answers'
    [ "$(now)" -lt $((started + limit_s * 50)) ] || fail "no replica can be promoted without loss; $why"
    info_period $INFO_PERIOD_MS # Sentinel's knowledge must be current from now on
    sleep 0.05
  done
}

# before anything is paused
candidates=$others
wait_for_pick "$(info master_repl_offset "$mine")"
# Sentinel notices the promotion by INFO, which it sends during a fail-over when the last one is 1 s old; left to chance, this
# would add to the pause of writes. So Sentinel is made to ask all replicas at once and then not again, and the fail-over begins
# 0.6 s later: SLAVEOF NO ONE follows within 0.3 s (three rounds of Sentinel's timer), just before that INFO. If it is late, the
# pause is 1 s longer; a busy machine has 0.1 s to spare.
info_period 1
sleep 0.25
info_period 1000
measured=$(now)
age=$(to_sentinel "$chosen" SENTINEL REPLICAS $NAME | sed -n '/^info-refresh$/{n;p;}' | sort -n | sed -n 1p)
pick_is_safe
took=$(($(now) - measured)) # about as long as the steps between the pause and the fail-over
rest=$((60 - ${age:-600} / 10 - took * 2))
[ $rest -le 0 ] || sleep "0.$(printf %02d $rest)"

# A paused server does not ask its replicas for acknowledgements, so a client whose WAIT arrived just before would get no answer
# and not know whether its write is safe. If there is such a client, the pause is lifted for a moment, so that it is answered.
lifted=0
while :; do
  paused=yes
  mine=$(printf "CLIENT PAUSE $PAUSE_MS WRITE\nCLIENT LIST TYPE normal\nINFO replication\n" | here)
  case $mine in OK*) ;; *) fail 'CLIENT PAUSE was refused' ;; esac
  paused_at=$(now)
  printf '%s\n' "$mine" | grep -q ' flags=[A-Za-z]*b.* cmd=wait ' || break
  [ $lifted -lt 10 ] || break
  lifted=$((lifted + 1))
  here CLIENT UNPAUSE >/dev/null
  sleep 0.02
done
offset=$(info master_repl_offset "$mine")
[ -n "$offset" ] || fail 'this node does not answer'
wait_for_pick "$offset"
asked=yes
while :; do
  reply=$(to_sentinel "$chosen" SENTINEL FAILOVER $NAME)
  case $reply in OK | *INPROG*) break ;; esac
  [ "$(now)" -lt "$deadline" ] || fail "Sentinel $chosen refuses: $reply"
  [ -n "$reply" ] || fail "Sentinel $chosen does not answer"
  sleep 0.1
done

# Wait until the Sentinel names the promoted replica, which it does once it has seen it as a primary. One process polls every 10
# ms, for half a second at a time. This node's own role reveals nothing yet: Sentinels demote an old primary only 8 to 10 s later.
until primary=$(to_sentinel "$chosen" -r 50 -i 0.01 SENTINEL GET-MASTER-ADDR-BY-NAME $NAME | while read -r named && read -r _; do
  named=$(address_of "$named")
  [ "$named" = "$SELF" ] || ! is_node "$named" || { echo "$named" && break; }
done) && [ -n "$primary" ]; do
  [ "$(now)" -lt "$deadline" ] || fail "the fail-over did not end within $limit_s s"
  primary=$(chosen_by_most "$(survey)")
  case $primary in
    "$SELF") ;;
    '') fail "no $majority Sentinels agree on the primary any more" ;;
    *) break ;;
  esac
  candidates=$others
  compare | grep -q '^is ' || fail 'no other node answers'
done
# As a replica, this node refuses the paused writes (READONLY): they were never executed, and clients may retry them.
until reply=$(printf "REPLICAOF $primary 6379\nROLE\nCLIENT UNPAUSE\n" | here | tr '\n' ' ') &&
  case $reply in OK*slave*OK*) true ;; *) false ;; esac; do
  [ -n "$reply" ] || fail "$primary leads, and this node does not answer"
  [ "$(now)" -lt "$deadline" ] || fail "$primary leads, and this node does not follow it yet"
  sleep 0.1
done
say "$primary leads, after $(($(now) - paused_at))0 ms without writes"

# Wait until most Sentinels know and the other replicas are connected: the new primary takes no writes without a replica.
expected=$(($(printf '%s\n' $candidates | grep -c .)))
until theirs=$(cli "$primary" 6379 INFO replication) && [ "$(info connected_slaves "$theirs")" -ge "$expected" ] &&
  [ "$(chosen_by_most "$(survey)")" = "$primary" ]; do
  [ "$(now)" -lt "$deadline" ] || break
  sleep 0.05
done 2>/dev/null
[ "$(info master_replid2 "$theirs")" = "$lineage" ] && [ "$(info second_repl_offset "$theirs")" -gt "$offset" ] && exit 0
say "WARNING: $primary was promoted without all that this node had (offset $offset): $(info second_repl_offset "$theirs")" >&2
exit 1
