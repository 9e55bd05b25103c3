#!/bin/sh
# Starts one Redis of a replicated deployment, in docker compose and in Kubernetes: as a replica of the primary that the Sentinels
# name, and as the primary only if that can lose nothing. docs/operations.md has the rules as a table. Run by init.sh.
# usage: start-redis.sh [more redis-server arguments]
# Environment: SELF, this node's address as others see it; NODES, those of all Redis nodes; SENTINELS, those of all Sentinels
# (each may be a DNS name); REDISCLI_AUTH or the files that password.sh reads, optional: passwords; DATA, the folder, /data by
# default.
set -u
. "$(dirname "$0")/ask.sh"
. "$(dirname "$0")/unread-data.sh"

# Longer than any fail-over: if a majority still names this node after that time, there was none.
HOLD_S=${HOLD_S:-30}
mkdir -p "$DATA" || exit 1
refuse_unread_data "$DATA"
find_addresses
remember "$ADDRESSES"
has_data=no
[ -n "$(ls "$DATA/appendonlydir" 2>/dev/null)" ] && has_data=yes

# Whether this node, which the Sentinels name, may start as the primary. Otherwise `why` is set to what it waits for.
may_lead() {
  ask_nodes
  if [ $has_data = no ]; then
    # An empty primary would wipe its replicas. If all nodes are empty, this is the first start.
    why="this folder is empty; $silent nodes do not answer, $filled hold messages"
    [ $silent = 0 ] && [ $filled = 0 ]
  elif [ $silent = 0 ] && [ $electable = 0 ]; then
    # All nodes were restarted. None can be elected, and none has more data than the last primary.
    return 0
  else
    # A replica that has everything may be about to take over: do not interfere.
    why="a fail-over may be under way; $electable nodes may be elected, $silent do not answer"
    [ $waited -ge "$HOLD_S" ] && [ $failing_over = no ]
  fi
}

waited=0 said=''
while :; do
  ask_sentinels
  if [ $answered -lt $majority ] || [ -z "$primary" ]; then
    why="$answered Sentinels answer, $majority must${doubt:+; $doubt}"
    waited=-1 # a fail-over can only begin once they answer
    look_again && remember "$ADDRESSES" # the Sentinels' addresses may have changed, or this node's table be outdated
  elif [ "$primary" != "$SELF" ] || may_lead; then
    break
  fi
  [ "$why" = "$said" ] || say "waiting: $why"
  said=$why
  sleep 1
  waited=$((waited + 1))
done

# A restarted node may be elected only once it is in sync with its primary and its file is on disk. Before that its offset is
# meaningless, and Sentinel elects by offsets.
allow_election() {
  while sleep 0.5 && kill -0 $$ 2>/dev/null; do
    info=$(cli 127.0.0.1 6379 INFO)
    case $info in
      *role:master* | *master_link_status:up*)
        case $info in *aof_rewrite_in_progress:1* | *aof_rewrite_scheduled:1* | *loading:1*) continue ;; esac
        [ "$(cli 127.0.0.1 6379 CONFIG SET replica-priority 100)" = OK ] && say 'in step: may be elected' && return
        ;;
    esac
  done
}

set -- --include /etc/aizumi/replicated.conf --dir "$DATA" --protected-mode no --replica-announce-ip "$SELF" "$@"
if [ "$primary" = "$SELF" ]; then
  say "as the primary (folder has data: $has_data)"
else
  # wait until Sentinels discard what they knew of this address before the folder was emptied: they use it for up to 5 s
  [ $has_data = no ] && [ "$replicas" -gt 0 ] && sleep 6
  say "as a replica of $primary (folder has data: $has_data)"
  set -- "$@" --replicaof "$primary" 6379 --replica-priority 0
  # not as a child of the server, which would log an unknown child when it ends
  (allow_election &)
fi
login=$(login_conf)
if [ -n "$login" ]; then
  exec redis-server - "$@" <<END
include /etc/aizumi/redis.conf
$login
END
fi
exec redis-server /etc/aizumi/redis.conf "$@"
