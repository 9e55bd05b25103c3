#!/bin/sh
# The service `backup` of docker compose: writes a verified snapshot of a replica to standard output.
# usage: backup.sh [check]; with `check` it exits with 0 if standard input is a complete snapshot.
# Environment: as for k8s/components/backup/backup.sh, which takes the snapshot, and the files that password.sh reads.
set -eu
. "$(dirname "$0")/password.sh"
BACKUPS=${BACKUPS:-/data}
export BACKUPS

case ${1:-} in
  '')
    sh "${SCRIPTS:-/opt/aizumi-backup}/backup.sh" >&2
    cat "$BACKUPS"/aizumi-*.rdb
    ;;
  check)
    cat >"$BACKUPS/check.rdb"
    report=$(redis-check-rdb "$BACKUPS/check.rdb") || { echo 'backup: this is not a whole snapshot' >&2 && exit 1; }
    echo "backup: a whole snapshot of $(printf '%s\n' "$report" | sed -n 's/.*\[info\] \([0-9]*\) keys read.*/\1/p') keys" >&2
    ;;
  *) echo 'usage: backup.sh [check]' >&2 && exit 2 ;;
esac
