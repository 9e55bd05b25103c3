#!/bin/sh
# Starts the one Redis of docker compose's profile `single`.
# usage: start-single.sh [more redis-server arguments]; environment: the files of password.sh
set -u
. "$(dirname "$0")/password.sh"
exec redis-server - --dir /data --protected-mode no "$@" <<END
include /etc/aizumi/redis.conf
$(login_conf)
END
