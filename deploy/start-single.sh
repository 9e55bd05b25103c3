#!/bin/sh
# Starts the one Redis of docker compose's profile `single`.
# usage: start-single.sh [more redis-server arguments]; environment: the files of password.sh; DATA, the folder, /data by default
set -u
. "$(dirname "$0")/password.sh"
. "$(dirname "$0")/unread-data.sh"
refuse_unread_data "${DATA:-/data}"
exec redis-server - --dir "${DATA:-/data}" --protected-mode no "$@" <<END
include /etc/aizumi/redis.conf
$(login_conf)
END
