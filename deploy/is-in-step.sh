#!/bin/sh
# Readiness: exits with 0 if this Redis is the primary, or a replica that is in sync and may be elected. A rolling update
# continues only then.
info=$(busybox timeout 2 redis-cli INFO replication)
case $info in
  *role:master* | *master_link_status:up*slave_priority:100*) exit 0 ;;
esac
exit 1
