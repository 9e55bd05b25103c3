#!/bin/sh
# Creates what a docker compose stack needs once: two Redis passwords, and a first API key, which may do everything. Existing ones
# are kept. Run by the service `keys`, in aizumi's image.
set -eu
umask 077

for each in redis aizumi; do
  file=/passwords/$each/password
  [ -s "$file" ] && continue
  node -p 'require("node:crypto").randomBytes(32).toString("hex")' | tr -d '\n' >"$file.new"
  # world-readable, because its readers run as other users; only they mount the volume
  chmod 444 "$file.new"
  mv "$file.new" "$file"
done
chmod 755 /passwords/redis /passwords/aizumi

[ -s /keys/keys.yaml ] ||
  exec node dist/bin/key.js --file /keys/keys.yaml --name first --send '*' --receive '*' --administer '*' >/first-key/key
