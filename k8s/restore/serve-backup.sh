#!/bin/sh
# The first part of a restore: loads a backup into a Redis of its own, which proves that it can be loaded, and serves it to
# restore-node.sh, which runs once for each node. (The claims of the nodes and of the backups may be on different machines, so no
# pod could mount them all.) Exits with 0 when the first node has the backup.
# Environment: BACKUP, the file's name, or `newest`; BACKUPS, the folder, /backups by default; REDISCLI_AUTH, optional;
# PORT, 6379 by default; MORE, more redis-server arguments.
set -u
BACKUPS=${BACKUPS:-/backups} PORT=${PORT:-6379}

say() { echo "restore: $*"; }
fail() { say "$*" >&2 && exit 1; }
cli() { busybox timeout 2 redis-cli -h 127.0.0.1 -p "$PORT" "$@" 2>/dev/null; }

name=${BACKUP:-newest}
[ "$name" != newest ] || name=$(ls "$BACKUPS" | grep '^aizumi-.*\.rdb$' | sort | tail -n 1)
[ -f "$BACKUPS/$name" ] || fail "there is no backup '$name' in $BACKUPS; it has: $(ls "$BACKUPS" | tr '\n' ' ')"
report=$(redis-check-rdb "$BACKUPS/$name") || fail "$name is not a whole snapshot: $(printf '%s\n' "$report" | tail -n 3)"

# configuration on standard input, so that no process list shows the password
{ [ -z "${REDISCLI_AUTH:-}" ] || printf 'requirepass "%s"\n' "$REDISCLI_AUTH"; } |
  redis-server - --port "$PORT" --dir "$BACKUPS" --dbfilename "$name" --save '' --appendonly no --protected-mode no \
    --repl-diskless-sync yes --repl-diskless-sync-delay 0 ${MORE:-} &
server=$!
trap 'kill $server' INT TERM HUP
until [ "$(cli ping)" = PONG ]; do
  kill -0 $server 2>/dev/null || fail "$name cannot be loaded"
  sleep 0.2
done
say "$name: $(cli DBSIZE) keys; waiting for the nodes"
# restore-node.sh writes this set after it made its copy, so the set is in no copy
until [ "$(cli SISMEMBER aizumi:restore done)" = 1 ]; do
  kill -0 $server 2>/dev/null || fail 'its Redis has ended'
  sleep 0.5
done
cli SHUTDOWN NOSAVE
wait $server
say "$name is restored"
