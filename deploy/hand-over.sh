#!/bin/sh
# Planned fail-over that loses nothing: run on the primary, it makes a replica the primary and lets this node follow it.
# Elsewhere, and when it is run again, it does nothing. In docker compose and in Kubernetes; docs/operations.md has the commands.
# usage: hand-over.sh [LIMIT_S], 10 s by default. Ends with 0 when another node leads, otherwise with 1 and a message.
# Environment: SELF, NODES, SENTINELS and REDISCLI_AUTH as in start-redis.sh.
set -u
. "$(dirname "$0")/ask.sh"

say() { echo "hand-over: $*"; }

# Hundredths of a second, by a clock that nobody sets.
now() {
  read -r up _ </proc/uptime
  echo "${up%.*}${up#*.}"
}

limit_s=${1:-10}
case $limit_s in '' | *[!0-9]* | 0) say "usage: hand-over.sh [LIMIT_S]" >&2 && exit 1 ;; esac
majority=$(($(count $SENTINELS) / 2 + 1))
started=$(now)
deadline=$((started + limit_s * 100))
# Beyond the limit: a fail-over that was begun and has not ended by then still finds no writes on the old primary. Sentinel gives
# up its fail-over after 2 s (failover-timeout), and tells an old primary to follow after 8 to 10 s.
PAUSE_MS=$(((limit_s + 10) * 1000))

here() { cli 127.0.0.1 6379 "$@"; }
sentinel() {
  (
    unset REDISCLI_AUTH
    cli "$@"
  )
}
role_of() { cli "$1" 6379 ROLE | sed -n 1p; }
# info FIELD TEXT: of a reply to INFO
info() { printf '%s\n' "$2" | tr -d '\r' | sed -n "s/^$1://p"; }

# The node that most Sentinels name; nothing where most do not agree. All are asked at once: a silent one costs 2 s.
named() {
  for each in $SENTINELS; do
    sentinel "$each" 26379 SENTINEL GET-MASTER-ADDR-BY-NAME $NAME | sed -n 1p &
  done | sort | uniq -c | while read -r votes address; do
    [ "$votes" -ge $majority ] && [ -n "$address" ] && echo "$address"
  done
}

paused=no asked=no
fail() {
  say "$*" >&2
  if [ $paused = yes ]; then
    ask_sentinels
    other=''
    for node in $NODES; do
      [ "$node" = "$SELF" ] || [ "$(role_of "$node")" != master ] || other=$node
    done
    if [ -n "$other" ] || { [ $asked = yes ] && [ $failing_over = yes ]; }; then
      # What it took now would be thrown away when it is told to follow.
      say "${other:-a replica} is being promoted: writes stay paused here, for at most 10 s more" >&2
    else
      here CLIENT UNPAUSE >/dev/null && say 'this node leads on, writes are no longer paused' >&2
    fi
  fi
  exit 1
}
# A pause that nobody ends would hold up the service.
trap 'fail "interrupted"' INT TERM HUP

case $(role_of 127.0.0.1) in
  master) ;;
  slave) say 'this node does not lead: nothing to do' && exit 0 ;;
  *) fail 'this node does not answer' ;;
esac
primary=$(named)
case $primary in
  "$SELF") ;;
  '') fail "no $majority Sentinels agree on the primary" ;;
  *) say "the Sentinels name $primary: nothing to do" && exit 0 ;;
esac
# The Sentinel that does it: one that sees the primary well and leads no fail-over. The one beside this node comes last, since
# it may be stopping as well.
chosen=''
for each in $SENTINELS "$SELF"; do
  [ "$each" = "$SELF" ] && [ "$chosen" != '' ] && continue
  facts=$(sentinel "$each" 26379 SENTINEL MASTER $NAME)
  [ "$(field flags "$facts")" = master ] && [ "$(field ip "$facts")" = "$SELF" ] && chosen=$each
  [ -n "$chosen" ] && [ "$chosen" != "$SELF" ] && break
done
[ -n "$chosen" ] || fail 'no Sentinel is ready for a fail-over'

# Whether a node has everything: it says so itself, as a replica of this lineage. With `appendfsync always` it replies after fsync.
has_all() {
  theirs=$(cli "$1" 6379 INFO replication)
  case $theirs in *role:slave*master_link_status:up*) ;; *) return 1 ;; esac
  [ "$(info master_replid "$theirs")" = "$lineage" ] && [ "$(info slave_repl_offset "$theirs")" -ge "$offset" ]
}

# Whether Sentinel can only pick a replica that has everything. It picks the lowest priority but 0, then the highest offset, both
# from the last INFO that it has. So either all have everything, whatever it knows of them; or one has, Sentinel knows that,
# and no other looks better to it: one that does not answer has no more than that by Sentinel's last INFO.
pick_is_safe() {
  known=$(sentinel "$chosen" 26379 SENTINEL REPLICAS $NAME)
  replicas=$(printf '%s\n' "$known" | while read -r name && read -r value; do
    case $name in
      ip) address=$value ;;
      flags) flags=$value ;;
      slave-priority) priority=$value ;;
      slave-repl-offset) echo "$address $flags $priority $value" ;;
    esac
  done)
  lacking='' best='' some=no
  while read -r address flags priority known_offset; do
    [ -z "$address" ] || [ "$priority" = 0 ] && continue
    # a silent one that Sentinel counts as down is not asked: it would cost 2 s
    if [ "$flags" != slave ] || ! has_all "$address"; then
      lacking="$lacking $address:$priority:$known_offset"
    else
      some=yes
      if [ "$known_offset" -ge "$offset" ] && [ "$priority" -lt "${best:-1000000}" ]; then best=$priority; fi
    fi
  done <<END
$replicas
END
  why="behind offset $offset:${lacking:- none} (address:priority:offset as Sentinel knows it)"
  [ $some = yes ] || return 1
  for each in $lacking; do
    its_offset=${each##*:} its_priority=${each%:*}
    its_priority=${its_priority##*:}
    [ -n "$best" ] && [ "$its_priority" -ge "$best" ] || return 1
    [ "$its_priority" -gt "$best" ] || [ "$its_offset" -le "$offset" ] || return 1
  done
}

info_period() { sentinel "$chosen" 26379 SENTINEL DEBUG info-period "$1" >/dev/null; }
trap 'info_period $INFO_PERIOD_MS' EXIT

# wait_for_pick OFFSET: until Sentinel can only pick a replica that has everything up to there
wait_for_pick() {
  offset=$1
  until pick_is_safe; do
    [ "$(now)" -lt $((started + limit_s * 50)) ] || fail "no replica can be promoted without loss; $why"
    info_period $INFO_PERIOD_MS # what Sentinel knows matters from now on
    sleep 0.05
  done
}

mine=$(here INFO replication)
lineage=$(info master_replid "$mine")
# before anything is paused
wait_for_pick "$(info master_repl_offset "$mine")"
# Sentinel notices the promotion by INFO, which it sends during a fail-over when the last one is 1 s old: on average writes would
# be paused for that long. So all replicas are asked at once and then not again, and the fail-over begins when 0.6 s have
# passed: SLAVEOF NO ONE follows within 0.3 s (three rounds of Sentinel's timer), before that INFO. Where this does not work
# out, the pause is longer by up to 1 s.
info_period 1
sleep 0.25
info_period 1000
measured=$(now)
age=$(sentinel "$chosen" 26379 SENTINEL REPLICAS $NAME | sed -n '/^info-refresh$/{n;p;}' | sort -n | sed -n 1p)
pick_is_safe
took=$(($(now) - measured)) # about as long as what comes between the pause and the fail-over
rest=$((60 - ${age:-600} / 10 - took * 2))
[ $rest -le 0 ] || sleep "0.$(printf %02d $rest)"

# The paused server asks its replicas for no acknowledgement: a client whose WAIT came in the same moment would have no answer,
# and would not know whether its write is safe. Then the pause is lifted for a moment, so that it is answered.
lifted=0
while :; do
  paused=yes
  [ "$(here CLIENT PAUSE $PAUSE_MS WRITE)" = OK ] || fail 'CLIENT PAUSE was refused'
  paused_at=$(now)
  here CLIENT LIST TYPE normal | grep -q ' flags=[A-Za-z]*b.* cmd=wait ' || break
  [ $lifted -lt 10 ] || break
  lifted=$((lifted + 1))
  here CLIENT UNPAUSE >/dev/null
  sleep 0.02
done
offset=$(info master_repl_offset "$(here INFO replication)")
[ -n "$offset" ] || fail 'this node does not answer'
wait_for_pick "$offset"
asked=yes
while :; do
  reply=$(sentinel "$chosen" 26379 SENTINEL FAILOVER $NAME)
  case $reply in OK | *INPROG*) break ;; esac
  [ "$(now)" -lt "$deadline" ] || fail "Sentinel $chosen refuses: $reply"
  sleep 0.1
done
# Sentinels tell the old primary to follow only 8 to 10 s later: its own role says nothing yet.
until primary=$(named) && [ -n "$primary" ] && [ "$primary" != "$SELF" ] && [ "$(role_of "$primary")" = master ]; do
  [ "$(now)" -lt "$deadline" ] || fail "the fail-over did not end within $limit_s s"
  sleep 0.05
done
# As a replica it refuses the writes that were paused (READONLY): they were never done, and clients may repeat them.
until [ "$(here REPLICAOF "$primary" 6379)" != '' ] && [ "$(role_of 127.0.0.1)" = slave ] && [ "$(here CLIENT UNPAUSE)" = OK ]; do
  [ "$(now)" -lt "$deadline" ] || fail "$primary leads, and this node does not follow it yet"
  sleep 0.1
done
say "$primary leads, after $(($(now) - paused_at))0 ms without writes"
theirs=$(cli "$primary" 6379 INFO replication)
[ "$(info master_replid2 "$theirs")" = "$lineage" ] && [ "$(info second_repl_offset "$theirs")" -gt "$offset" ] && exit 0
say "WARNING: $primary was promoted without all that this node had (offset $offset): $(info second_repl_offset "$theirs")" >&2
exit 1
