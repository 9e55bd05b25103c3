#!/bin/sh
# Installs Debian's redis-server for its program only. Nobody asked for a system service on port 6379, so the
# package's own is neither started (policy-rc.d: invoke-rc.d and deb-systemd-invoke both ask it) nor enabled.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d

if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

apt-get update
apt-get install -y --no-install-recommends redis-server
if command -v systemctl >/dev/null; then systemctl --quiet disable redis-server || true; fi
