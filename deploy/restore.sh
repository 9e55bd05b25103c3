#!/bin/sh
# Puts a backup into an empty folder: a snapshot becomes the base of the append-only file, and the next start loads it.
# usage: restore.sh FILE.rdb; environment: DATA, the folder of the Redis node, /data by default
set -eu
dir=${DATA:-/data}/appendonlydir
if [ -e "$dir" ]; then
  echo "restore: $dir is there already, and its messages would be lost: empty the folder first" >&2
  exit 1
fi
redis-check-rdb "$1" >/dev/null || { echo "restore: $1 is not a whole snapshot" >&2 && exit 1; }
mkdir -p "$dir"
cat "$1" >"$dir/appendonly.aof.1.base.rdb"
echo 'file appendonly.aof.1.base.rdb seq 1 type b' >"$dir/appendonly.aof.manifest"
sync
echo "restore: done; start this node, and no other that has data"
