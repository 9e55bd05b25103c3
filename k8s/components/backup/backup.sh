#!/bin/sh
# Takes a snapshot of a replica, or of a single Redis without Sentinels, verifies it, and keeps the newest ones. POSIX sh with
# busybox and the Redis image's programs.
# usage: backup.sh. Exits with 0 if a complete snapshot of the current data is in the folder, otherwise with 1 and a message.
# Environment: NODES, host names or addresses of all Redis nodes; SENTINELS, those of all Sentinels, empty if there are none;
# REDISCLI_AUTH, optional: the password of the Redis nodes; BACKUPS, the folder, /backups by default; KEEP, how many snapshots to
# keep; WAIT_S, how long to wait for an in-sync replica, in seconds; LIMIT_S, how long one copy may take, in seconds.
set -u
SENTINELS=${SENTINELS:-}
BACKUPS=${BACKUPS:-/backups} KEEP=${KEEP:-28} WAIT_S=${WAIT_S:-60} LIMIT_S=${LIMIT_S:-1800}

say() { echo "backup: $*"; }
fail() { say "$*" >&2 && exit 1; }
case $KEEP in '' | *[!0-9]* | 0) fail 'KEEP must be a number from 1' ;; esac
[ -w "$BACKUPS" ] || fail "$BACKUPS cannot be written"

# cli HOST PORT COMMAND...: the reply, or failure within 2 s
cli() {
  host=$1 port=$2
  shift 2
  busybox timeout 2 redis-cli -h "$host" -p "$port" "$@" 2>/dev/null
}
sentinel() (
  unset REDISCLI_AUTH # only for the Redis nodes
  cli "$1" 26379 SENTINEL "$2" mymaster
)
# info FIELD TEXT: the value of a field in a reply to INFO
info() { printf '%s\n' "$2" | tr -d '\r' | sed -n "s/^$1://p"; }

# Sets primary: the address from the Sentinel that knows of the latest fail-over, the same rule as in the workers. Most Sentinels
# must answer, because one on the wrong side of a partition names a replaced primary. Without Sentinels, the node that leads.
find_primary() {
  primary='' epoch=-1 answered=0 asked=0
  for each in $SENTINELS; do
    asked=$((asked + 1))
    its_epoch=$(sentinel "$each" MASTER | sed -n '/^config-epoch$/{n;p;}')
    case $its_epoch in '' | *[!0-9]*) continue ;; esac
    answered=$((answered + 1))
    [ "$its_epoch" -gt "$epoch" ] || continue
    epoch=$its_epoch
    primary=$(sentinel "$each" GET-MASTER-ADDR-BY-NAME | sed -n 1p)
  done
  if [ $asked -gt 0 ]; then
    why="$answered of $asked Sentinels answer"
    [ $((answered * 2)) -gt $asked ] && [ -n "$primary" ]
    return
  fi
  why='no node leads'
  for each in $NODES; do
    case $(cli "$each" 6379 INFO replication) in *role:master*) primary=$each && return ;; esac
  done
  return 1
}

# Sets lineage and offset to those of the primary now, and source to a replica that has all of it.
find_replica() {
  source=''
  facts=$(cli "$primary" 6379 INFO replication)
  lineage=$(info master_replid "$facts") offset=$(info master_repl_offset "$facts")
  case $facts in *role:master*) ;; *) why="$primary does not say that it leads" && return 1 ;; esac
  if [ -z "$SENTINELS" ]; then
    case $facts in *connected_slaves:0*) source=$primary && return ;; esac # one Redis: there is no replica to wait for
  fi
  why='no replica is in step'
  for each in $NODES; do
    facts=$(cli "$each" 6379 INFO replication)
    case $facts in *role:slave*master_link_status:up*) ;; *) continue ;; esac
    [ "$(info master_replid "$facts")" = "$lineage" ] || continue
    [ "$(info slave_repl_offset "$facts")" -ge "$offset" ] && source=$each && return
  done
  return 1
}

# Remove partial files of aborted runs: no run lasts longer than the Job's activeDeadlineSeconds.
find "$BACKUPS" -name 'aizumi-*.part' -mmin +60 -exec rm -f {} +

tried=0
until find_primary && find_replica; do
  if [ $tried -ge "$WAIT_S" ]; then
    [ "$why" = 'no replica is in step' ] && [ -z "$SENTINELS" ] && source=$primary && break
    # Never copy a primary that Sentinels watch: INFO lists the copy as a replica with port 0, and Sentinels keep that entry for
    # ever. A primary without a replica takes no writes (min-replicas-to-write), so the last backup has almost everything.
    fail "$why after $tried s"
  fi
  sleep 1
  tried=$((tried + 1))
done

name=aizumi-$(date -u +%Y%m%dT%H%M%SZ).rdb
part=$BACKUPS/$name.$$.part
copy=''
trap 'rm -f "$part"' EXIT
# otherwise the shell, as PID 1, would wait for the copy before it exits
trap '[ -z "$copy" ] || kill "$copy"; fail "interrupted"' INT TERM HUP
busybox timeout "$LIMIT_S" redis-cli -h "$source" -p 6379 --rdb "$part" >&2 &
copy=$!
wait $copy || fail "the copy of $source failed"
copy=''

report=$(redis-check-rdb "$part") || fail "the copy of $source is not a whole snapshot: $(printf '%s\n' "$report" | tail -n 3)"
# aux FIELD: what the snapshot records of its origin, from redis-check-rdb's report
aux() { printf '%s\n' "$report" | sed -n "s/.*AUX FIELD $1 = '\(.*\)'.*/\1/p"; }
# The copy of a node that was cut off, or replaced by a fail-over meanwhile, may be complete and still lack acknowledged messages.
# (Not checked for a Redis without replicas, which begins a new lineage with each copy.)
if [ "$source" != "$primary" ]; then
  [ "$(aux repl-id)" = "$lineage" ] || fail "$source was copied with another replication lineage than $primary had: a fail-over?"
  [ "$(aux repl-offset)" -ge "$offset" ] || fail "$source was copied at offset $(aux repl-offset), and $primary had $offset"
fi
keys=$(printf '%s\n' "$report" | sed -n 's/.*\[info\] \([0-9]*\) keys read.*/\1/p')
bytes=$(wc -c <"$part" | tr -d ' ')

sync
mv "$part" "$BACKUPS/$name" || fail "$part cannot be renamed"
sync
for old in $(ls "$BACKUPS" | grep '^aizumi-[0-9TZ]*\.rdb$' | sort -r | tail -n +$((KEEP + 1))); do
  rm -f "$BACKUPS/$old"
done
say "$name: $keys keys, $bytes bytes, from $source"
