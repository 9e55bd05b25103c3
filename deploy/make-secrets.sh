#!/bin/sh
# What a stack of docker compose needs once: two passwords of Redis, and a first API key, which may do everything. What is there
# already stays. Run by the service `keys`, in the image of aizumi.
set -eu
umask 077

for each in redis aizumi; do
  file=/passwords/$each/password
  [ -s "$file" ] && continue
  node -p 'require("node:crypto").randomBytes(32).toString("hex")' | tr -d '\n' >"$file.new"
  # its readers have other users, and nobody else mounts the volume
  chmod 444 "$file.new"
  mv "$file.new" "$file"
done
chmod 755 /passwords/redis /passwords/aizumi

[ -s /keys/keys.yaml ] ||
  exec node dist/bin/key.js --file /keys/keys.yaml --name first --send '*' --receive '*' --administer '*' >/first-key/key
