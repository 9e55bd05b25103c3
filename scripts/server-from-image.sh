#!/bin/sh
# Takes a Redis or Valkey server out of a Docker image and prints the path of a program that starts it on this machine, for
# AIZUMI_TEST_REDIS_SERVER. The program brings the image's libraries along: images are made for another system than this one.
# usage: scripts/server-from-image.sh IMAGE PROGRAM [FOLDER]        for example: redis:8 redis-server
set -eu
image=$1 program=$2
folder=${3:-/var/tmp/aizumi-servers}/$(echo "$image" | tr -c 'A-Za-z0-9.\n' -)
path=$folder/$program

if [ ! -x "$path" ]; then
  mkdir -p "$folder/root"
  container=$(docker create "$image")
  trap 'docker rm --force "$container" >/dev/null' EXIT
  docker export "$container" | tar -x -C "$folder/root" --exclude='dev/*' --exclude='proc/*' --exclude='sys/*'
  # a loader and a libc of the image's own, wherever its architecture and distribution have them
  loader=$(find "$folder/root" -name 'ld-linux-*' -type f | head -n 1)
  libc=$(find "$folder/root" -name libc.so.6 -type f | head -n 1)
  binary=$(find "$folder/root/usr/local/bin" "$folder/root/usr/bin" -name "$program" | head -n 1)
  [ -n "$loader" ] || { echo "$image has no glibc: take one that is not Alpine's" >&2; exit 1; }
  [ -n "$binary" ] || { echo "$image has no $program" >&2; exit 1; }
  printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 %s "%s" "$@"\n' "$loader" "${libc%/*}" "$program" "$binary" >"$path"
  chmod +x "$path"
fi
"$path" --version >&2
echo "$path"
