# What the scripts ask of Redis nodes and Sentinels. Sourced; POSIX sh with busybox and redis-cli.
# SENTINELS and NODES: names or addresses, separated by blanks; SELF: this one's. addresses.sh makes addresses of names.

. "$(dirname "$0")/addresses.sh"

NAME=mymaster

# An election goes by the offsets in the last INFO of each replica. Sentinel asks for it every 10 s by default; it must be asked
# for again after the primary is lost and before it counts as down, so this is shorter than down-after by two rounds of
# Sentinel's timer (100 ms each) and more.
INFO_PERIOD_MS=500

say() { echo "start: $*"; }
count() { echo $#; }
majority=$(($(count $SENTINELS) / 2 + 1))

# cli HOST PORT [COMMAND...]: its reply, or failure within 2 s. Without a command those on standard input are sent, one a line,
# on one connection. REDISCLI_AUTH is for the Redis nodes alone.
cli() {
  host=$1 port=$2
  shift 2
  { busybox timeout 2 redis-cli -h "$host" -p "$port" "$@"; } 2>/dev/null # also what the shell says of the timeout
}
# to_sentinel HOST [COMMAND...]
to_sentinel() {
  (
    unset REDISCLI_AUTH
    its_host=$1
    shift
    cli "$its_host" 26379 "$@"
  )
}

# field NAME TEXT: of a reply that is a name and a value, each on a line of its own
field() { printf '%s\n' "$2" | sed -n "/^$1\$/{n;p;q;}"; }
# info FIELD TEXT: of a reply to INFO
info() { printf '%s\n' "$2" | tr -d '\r' | sed -n "s/^$1://p"; }

# A line `SENTINEL PRIMARY EPOCH REPLICAS FLAGS` for each Sentinel that answers. The primary is the one that it gives to clients.
# All are asked at once: silent ones cost 2 s.
survey() {
  for sentinel in $SENTINELS; do
    {
      answer=$(printf "SENTINEL MASTER $NAME\nSENTINEL GET-MASTER-ADDR-BY-NAME $NAME\n" | to_sentinel "$sentinel")
      epoch=$(field config-epoch "$answer")
      case $epoch in
        '' | *[!0-9]*) ;; # an error, not an answer
        *)
          # a Sentinel of an older version gives names
          named=$(address_of "$(printf '%s\n' "$answer" | tail -n 2 | sed -n 1p)")
          echo "$sentinel $named $epoch $(field num-slaves "$answer") $(field flags "$answer")"
          ;;
      esac
    } &
  done
  wait
}

# chosen_by_most SURVEY [EPOCH]: the primary that a majority of all Sentinels names, at that epoch or a later one; maybe nothing
chosen_by_most() {
  printf '%s\n' "$1" | awk -v majority="$majority" -v since="${2:-0}" '
    NF > 2 { votes[$2]++; if ($3 > epoch[$2]) epoch[$2] = $3 }
    END { for (each in votes) if (votes[each] >= majority && epoch[each] + 0 >= since) print each }'
}

# is_node ADDRESS
is_node() { case " $(echo $NODES) " in *" ${1:-none} "*) return 0 ;; esac; return 1; }

# Asks all Sentinels. Sets answered, how many did; primary, by the word of those that know of the latest fail-over, as the
# workers do it; replicas, how many they know; failing_over: whether one of them leads a fail-over.
ask_sentinels() {
  answers=$(survey)
  answered=$(printf '%s' "$answers" | grep -c .)
  failing_over=no
  case $answers in *failover_in_progress*) failing_over=yes ;; esac
  latest=$(printf '%s\n' "$answers" | awk '
    NF > 2 { votes[$3 " " $2]++; replicas[$3 " " $2] = $4 }
    END { for (each in votes) print each, votes[each], replicas[each] }' | sort -k1,1nr -k3,3nr | sed -n 1p)
  set -- $latest
  primary=${2:-} replicas=${4:-0}
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
