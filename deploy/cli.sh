#!/bin/sh
# redis-cli with the node's password, inside the container of a Redis node: sh /opt/aizumi/cli.sh INFO replication
set -u
. "$(dirname "$0")/password.sh"
exec redis-cli "$@"
