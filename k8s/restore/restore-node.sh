#!/bin/sh
# The second part of a restore, on the claim of each Redis node while no node runs. The first of NODES, which Sentinels without
# state take for the primary, gets the backup that serve-backup.sh serves; the others are emptied, so that no older replication
# lineage can win over it. The old data of a claim is moved into a folder beside it, and nothing is moved before the first node
# has a complete copy of the backup. A run that was interrupted is started again from the beginning.
# Environment: SELF, this node; NODES, all of them; SOURCE, the host of serve-backup.sh's Redis; PORT of it, 6379 by default;
# REDISCLI_AUTH, optional; DATA, the claim's folder, /data by default; SCRIPTS, the folder of restore.sh, /opt/aizumi by default.
set -u
DATA=${DATA:-/data} SCRIPTS=${SCRIPTS:-/opt/aizumi} PORT=${PORT:-6379}
FIRST=${NODES%% *}

say() { echo "restore: $*"; }
fail() { say "$*" >&2 && exit 1; }
cli() { busybox timeout 2 redis-cli -h "$1" -p "$2" "$3" ${4:+"$4"} ${5:+"$5"} 2>/dev/null; }
source_cli() { cli "$SOURCE" "$PORT" "$@"; }
has_done() { [ "$(source_cli SISMEMBER aizumi:restore "$1")" = 1 ]; }
report() { source_cli SADD aizumi:restore "$1" >/dev/null || fail "$SOURCE does not answer"; }

# A running node would keep writing to the files that are moved away.
refuse_if_running() {
  for node in $NODES; do
    for port in 6379 26379; do
      # any reply counts, even an error
      [ -z "$(cli "$node" $port PING)" ] || fail "$node answers at port $port: scale the StatefulSet redis to 0 first"
    done
  done
}

move_away() {
  old=$DATA/before-restore-$(date -u +%Y%m%dT%H%M%SZ)
  for entry in "$DATA"/* "$DATA"/.[!.]*; do
    case ${entry##*/} in before-restore-* | lost+found | restore.rdb) continue ;; esac
    [ -e "$entry" ] || continue
    mkdir -p "$old" && mv "$entry" "$old/" || fail "$entry cannot be moved to $old"
  done
  sync
  [ ! -e "$old" ] || say "what $SELF had is in $old"
}

refuse_if_running
say "waiting for the backup at $SOURCE"
until [ "$(source_cli PING)" = PONG ]; do sleep 0.5; done

if [ "$SELF" = "$FIRST" ]; then
  rm -f "$DATA/restore.rdb" # redis-cli overwrites a file without truncating it
  busybox timeout 1800 redis-cli -h "$SOURCE" -p "$PORT" --rdb "$DATA/restore.rdb" >&2 || fail 'the backup could not be copied'
  redis-check-rdb "$DATA/restore.rdb" >/dev/null || fail 'the copy of the backup is not whole'
  report copied
  # this node is the last: it must not have the restored messages while another node still has its old ones
  for node in $NODES; do
    [ "$node" = "$FIRST" ] || until has_done "$node"; do sleep 0.5; done
  done
  refuse_if_running
  move_away
  DATA=$DATA/redis sh "$SCRIPTS/restore.sh" "$DATA/restore.rdb" || exit 1
  rm -f "$DATA/restore.rdb"
  report done
else
  until has_done copied; do sleep 0.5; done
  refuse_if_running
  move_away
  report "$SELF"
fi
say "$SELF is ready"
