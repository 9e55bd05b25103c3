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

paused=no promised=no
fail() {
  say "$*" >&2
  if [ $paused = yes ]; then
    ask_sentinels
    other=''
    for node in $NODES; do
      [ "$node" = "$SELF" ] || [ "$(role_of "$node")" != master ] || other=$node
    done
    if [ -n "$other" ] || { [ $promised = yes ] && [ $failing_over = yes ]; }; then
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
# One Sentinel that sees the primary well, and leads no fail-over
chosen=''
for each in $SENTINELS; do
  facts=$(sentinel "$each" 26379 SENTINEL MASTER $NAME)
  [ "$(field flags "$facts")" = master ] && [ "$(field ip "$facts")" = "$SELF" ] && chosen=$each && break
done
[ -n "$chosen" ] || fail 'no Sentinel is ready for a fail-over'

# Whether a node has everything: it says so itself, as a replica of this lineage. With `appendfsync always` it replies after fsync.
has_all() {
  theirs=$(cli "$1" 6379 INFO replication)
  case $theirs in *role:slave*master_link_status:up*) ;; *) return 1 ;; esac
  [ "$(info master_replid "$theirs")" = "$lineage" ] && [ "$(info slave_repl_offset "$theirs")" -ge "$offset" ]
}

# Reads what the Sentinel knows of one replica, from its `name` to before the next. Sets ip, its_priority, its_offset, its_flags.
# Whether the fail-over can only pick a replica that has everything. Sentinel picks the lowest priority, then the highest offset,
# both from the INFO that it has. Either all that it may pick have everything, whatever it knows of them; or one has, Sentinel
# knows it, and each that does not comes after that one.
pick_is_safe() {
  known=$(sentinel "$chosen" 26379 SENTINEL REPLICAS $NAME) || return 1
  lacking='' best=''
  # one line each: address, priority, offset, flags
  list=$(printf '%s\n' "$known" | while read -r name && read -r value; do
    case $name in
      ip) address=$value ;;
      flags) flags=$value ;;
      slave-priority) priority=$value ;;
      slave-repl-offset) echo "$address $priority $value $flags" ;;
    esac
  done)
  [ -n "$list" ] || return 1
  while read -r address priority known_offset flags; do
    [ "$priority" = 0 ] && continue
    if ! has_all "$address"; then
      lacking="$lacking $priority:$known_offset"
    elif [ "$flags" = slave ]; then
      any=yes
      [ "$known_offset" -ge "$offset" ] && { [ -z "$best" ] || [ "$priority" -lt "$best" ]; } && best=$priority
    fi
  done <<LIST
$list
LIST
  why="missing data:$lacking (priority:offset), needed: $offset"
  [ -n "$lacking" ] || [ "${any:-no}" = yes ] || return 1
  [ -z "$lacking" ] && return 0
  [ -n "$best" ] || return 1
  for each in $lacking; do
    [ "${each%%:*}" -gt "$best" ] || { [ "${each%%:*}" -eq "$best" ] && [ "${each#*:}" -lt "$offset" ]; } || return 1
  done
}

[ "$(here CLIENT PAUSE $PAUSE_MS WRITE)" = OK ] || fail 'CLIENT PAUSE was refused'
paused=yes
paused_at=$(now)
mine=$(here INFO replication)
lineage=$(info master_replid "$mine") offset=$(info master_repl_offset "$mine")
[ -n "$offset" ] || fail 'this node does not answer'
why=''
until pick_is_safe; do
  [ "$(now)" -lt $((started + limit_s * 50)) ] || fail "no replica can be promoted without loss: $why"
  sleep 0.05
done
promised=yes
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
here REPLICAOF "$primary" 6379 >/dev/null
here CLIENT UNPAUSE >/dev/null
say "$primary leads, after $(($(now) - paused_at))0 ms without writes"
theirs=$(cli "$primary" 6379 INFO replication)
[ "$(info master_replid2 "$theirs")" = "$lineage" ] && [ "$(info second_repl_offset "$theirs")" -gt "$offset" ] && exit 0
say "WARNING: $primary was promoted without all that this node had (offset $offset): $(info second_repl_offset "$theirs")" >&2
exit 1
