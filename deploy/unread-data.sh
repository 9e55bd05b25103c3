# Sourced; POSIX sh. refuse_unread_data FOLDER: exits with 1 if Redis would ignore a snapshot in the folder and start empty.
# With `appendonly yes` Redis loads only its append-only file, and silently ignores a snapshot if there is none.
refuse_unread_data() {
  [ -e "$1/dump.rdb" ] && [ -z "$(ls "$1/appendonlydir" 2>/dev/null)" ] || return 0
  echo "start: $1 has a snapshot, dump.rdb, and no append-only file, so that Redis would start empty. To load the snapshot," \
    "run restore.sh with it (docs/operations.md, Backup and restore); to start without its messages, move it away" >&2
  exit 1
}
