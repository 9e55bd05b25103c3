#!/bin/sh
# Starts the only Redis of docker compose's profile `single`.
# usage: start-single.sh [more redis-server arguments]
# Environment: the files that password.sh reads; DATA, the folder, /data by default.
set -u
. "$(dirname "$0")/password.sh"
. "$(dirname "$0")/unread-data.sh"
refuse_unread_data "${DATA:-/data}"
exec redis-server - --dir "${DATA:-/data}" --protected-mode no "$@" <<END
include /etc/aizumi/redis.conf
$(login_conf)
END
