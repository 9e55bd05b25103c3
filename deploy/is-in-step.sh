#!/bin/sh
# Whether this Redis is the primary, or a replica that has all and may be elected: a rolling update goes on only then.
info=$(busybox timeout 2 redis-cli INFO replication)
case $info in
  *role:master* | *master_link_status:up*slave_priority:100*) exit 0 ;;
esac
exit 1
