#!/bin/sh
# Restores a backup into an empty folder: the snapshot becomes the base of the append-only file, which the next start loads.
# usage: restore.sh FILE.rdb; `-` reads the snapshot from standard input. Environment: DATA, the folder of the Redis node,
# /data by default.
set -eu
umask 077
data=${DATA:-/data}
dir=$data/appendonlydir
if [ -e "$dir" ]; then
  echo "restore: $dir is there already, and its messages would be lost: empty the folder first" >&2
  exit 1
fi
check=$(command -v redis-check-rdb || command -v valkey-check-rdb) ||
  { echo 'restore: redis-check-rdb, which comes with the server, is not in the PATH' >&2 && exit 1; }
mkdir -p "$data"
part=$data/restore.$$.part
trap 'rm -f "$part"' EXIT
cat -- "$1" >"$part"
"$check" "$part" >/dev/null || { echo "restore: $1 is not a whole snapshot" >&2 && exit 1; }
mkdir "$dir"
mv "$part" "$dir/appendonly.aof.1.base.rdb"
echo 'file appendonly.aof.1.base.rdb seq 1 type b' >"$dir/appendonly.aof.manifest"
sync
echo "restore: done; start this node, and no other that has data"
