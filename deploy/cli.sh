#!/bin/sh
# redis-cli, logged in, inside the container of a Redis node: sh /opt/aizumi/cli.sh INFO replication
set -u
. "$(dirname "$0")/password.sh"
exec redis-cli "$@"
