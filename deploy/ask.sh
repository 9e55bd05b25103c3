# What start-redis.sh and start-sentinel.sh ask of the others. Sourced; POSIX sh with busybox and redis-cli.
# SENTINELS and NODES: host names or addresses, separated by blanks; SELF: this one's.

NAME=mymaster

# An election goes by the offsets in the last INFO of each replica. Sentinel asks for it every 10 s by default; it must be asked
# for again after the primary is lost and before it counts as down, so this is shorter than down-after by two rounds of
# Sentinel's timer (100 ms each) and more.
INFO_PERIOD_MS=500

say() { echo "start: $*"; }

# cli HOST PORT COMMAND...: its reply, or failure within 2 s. REDISCLI_AUTH is for the Redis nodes alone.
cli() {
  host=$1 port=$2
  shift 2
  busybox timeout 2 redis-cli -h "$host" -p "$port" "$@" 2>/dev/null
}

# field NAME TEXT: of a reply that is a name and a value, each on a line of its own
field() { printf '%s\n' "$2" | sed -n "/^$1\$/{n;p;}"; }

# Asks all Sentinels. Sets answered, how many did; primary, by the word of the one that knows of the latest fail-over, as
# the workers do it; epoch, of that fail-over; replicas, how many it knows; failing_over: whether one of them leads a fail-over.
ask_sentinels() {
  answered=0 primary='' epoch=-1 replicas=0 failing_over=no
  for sentinel in $SENTINELS; do
    facts=$(unset REDISCLI_AUTH && cli "$sentinel" 26379 SENTINEL MASTER $NAME) || continue
    named=$(unset REDISCLI_AUTH && cli "$sentinel" 26379 SENTINEL GET-MASTER-ADDR-BY-NAME $NAME) || continue
    its_epoch=$(field config-epoch "$facts")
    case $its_epoch in '' | *[!0-9]*) continue ;; esac # an error, not an answer
    answered=$((answered + 1))
    case $(field flags "$facts") in *failover_in_progress*) failing_over=yes ;; esac
    if [ "$its_epoch" -gt "$epoch" ]; then
      epoch=$its_epoch replicas=$(field num-slaves "$facts")
      primary=$(printf '%s\n' "$named" | sed -n 1p)
    fi
  done
}

# Asks the other Redis nodes. Sets silent, how many tell nothing (dead, or still loading); electable: how many a fail-over may
# make the primary, or has; filled: how many hold something.
ask_nodes() {
  silent=0 electable=0 filled=0
  for node in $NODES; do
    [ "$node" = "$SELF" ] && continue
    info=$(cli "$node" 6379 INFO)
    case $info in
      *loading:0*) ;;
      *) silent=$((silent + 1)) && continue ;;
    esac
    case $info in *slave_priority:0*) ;; *) electable=$((electable + 1)) ;; esac
    case $info in *:keys=*) filled=$((filled + 1)) ;; esac
  done
}

count() { echo $#; }
