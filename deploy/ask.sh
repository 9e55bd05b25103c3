# Queries to Redis nodes and Sentinels, shared by the scripts. Sourced; POSIX sh with busybox and redis-cli.
# SENTINELS and NODES: names or addresses, separated by blanks; SELF: this node's own. addresses.sh resolves the names.

. "$(dirname "$0")/addresses.sh"
. "$(dirname "$0")/password.sh"

NAME=mymaster

# An election compares the offsets in each replica's last INFO, which Sentinel requests every 10 s by default. It must be
# requested again after the primary is lost and before it counts as down. So this period is shorter than down-after by at least
# two rounds of Sentinel's timer (100 ms each).
INFO_PERIOD_MS=500

say() { echo "start: $*"; }
count() { echo $#; }
majority=$(($(count $SENTINELS) / 2 + 1))

# cli HOST PORT [COMMAND...]: the reply, or failure within 2 s. Without a command, sends those on standard input, one per line, on
# one connection. REDISCLI_AUTH is only for the Redis nodes.
cli() {
  host=$1 port=$2
  shift 2
  { busybox timeout 2 redis-cli -h "$host" -p "$port" "$@"; } 2>/dev/null # also drops the shell's message about the timeout
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

# field NAME TEXT: the value of a field in a reply that has names and values on alternate lines
field() { printf '%s\n' "$2" | sed -n "/^$1\$/{n;p;q;}"; }
# info FIELD TEXT: the value of a field in a reply to INFO
info() { printf '%s\n' "$2" | tr -d '\r' | sed -n "s/^$1://p"; }

# is_node ADDRESS
is_node() { case " $(echo $NODES) " in *" ${1:-none} "*) return 0 ;; esac; return 1; }

# meant NAMED AT ANNOUNCED: the node that the Sentinel at address AT means by the address NAMED, or `-` if that is not certain. A
# Sentinel that started while DNS was silent uses outdated addresses, which its announced address reveals. An address that no node
# has now means the node that had it before. An address that several nodes had is trusted only from a Sentinel that announces its
# current address. If a Sentinel announces an address that is neither current nor known from before, nothing that it names is
# trusted: addresses may have been exchanged unnoticed.
meant() {
  if [ -z "$NAMES" ]; then
    is_node "$1" && echo "$1" || echo -
    return
  fi
  printf '%s\n' "$ADDRESSES" | awk -v named="$1" -v at="$2" -v announced="${3:-$2}" \
    -v names=" $(echo $NODES_AS_GIVEN) " -v nodes=" $(echo $NODES) " '
    NF != 2 { next }
    !($1 in now) { now[$1] = $2 }
    $2 == announced { announced_by[$1] = 1 }
    $2 == named && index(names, " " $1 " ") && !had[$1]++ { owners++; owner = $1 }
    END {
      recent = announced == at
      for (name in announced_by) if (now[name] == at) known = 1
      if (owners == 1 && (recent || known)) print now[owner]
      else print recent && index(nodes, " " named " ") ? named : "-"
    }'
}

# Prints a line `SENTINEL PRIMARY EPOCH REPLICAS FLAGS NAMED` for each Sentinel that answers. NAMED is the primary's address as it
# returns it to clients, PRIMARY the node that this means, or `-`. All are asked in parallel: silent ones cost 2 s in total.
survey() {
  for sentinel in $SENTINELS; do
    {
      answer=$(printf "SENTINEL MASTER $NAME\nSENTINEL CONFIG GET announce-ip\nSENTINEL GET-MASTER-ADDR-BY-NAME $NAME\n" |
        to_sentinel "$sentinel")
      epoch=$(field config-epoch "$answer")
      case $epoch in
        '' | *[!0-9]*) ;; # an error, not an answer
        *)
          # a Sentinel of an older version returns names
          named=$(address_of "$(printf '%s\n' "$answer" | tail -n 2 | sed -n 1p)")
          node=$(meant "$named" "$sentinel" "$(address_of "$(field announce-ip "$answer")")")
          echo "$sentinel $node $epoch $(field num-slaves "$answer") $(field flags "$answer") $named"
          ;;
      esac
    } &
  done
  wait
}

# chosen_by_most SURVEY [EPOCH]: the primary that a majority of all Sentinels names at that epoch or a later one; empty if none
chosen_by_most() {
  printf '%s\n' "$1" | awk -v majority="$majority" -v since="${2:-0}" '
    NF > 2 && $2 != "-" { votes[$2]++; if ($3 > epoch[$2]) epoch[$2] = $3 }
    END { for (each in votes) if (votes[each] >= majority && epoch[each] + 0 >= since) print each }'
}

# Asks all Sentinels. Sets answered: how many name a node; primary: the one named by those that know of the latest fail-over, the
# same rule as in the workers; replicas: how many they know; failing_over: whether one of them leads a fail-over. If those that
# know of the latest fail-over name no node, or several without a majority, primary is empty and doubt has the reason.
ask_sentinels() {
  answers=$(survey)
  failing_over=no
  case $answers in *failover_in_progress*) failing_over=yes ;; esac
  word=$(printf '%s\n' "$answers" | awk -v majority="$majority" '
    NF > 2 {
      if ($2 == "-") strange = strange " " $6; else answered++
      if ($3 + 0 > latest + 0 || latest == "") latest = $3
      lines[NR] = $0
    }
    END {
      for (i in lines) {
        split(lines[i], fields, " ")
        if (fields[3] != latest || fields[2] == "-") continue
        if (!votes[fields[2]]++) { chosen = fields[2]; all = all " " chosen; several++ }
        if (fields[4] > replicas[fields[2]]) replicas[fields[2]] = fields[4]
      }
      if (several > 1) for (each in votes) if (votes[each] >= majority) { chosen = each; several = 1 }
      print answered + 0
      if (several == 1) print chosen, replicas[chosen] + 0; else print ""
      if (several > 1) print "Sentinels disagree about the last fail-over:" all
      else if (strange != "") print "Sentinels name what is the address of no node now:" strange
    }')
  answered=$(printf '%s\n' "$word" | sed -n 1p)
  set -- $(printf '%s\n' "$word" | sed -n 2p)
  primary=${1:-} replicas=${2:-0}
  doubt=$(printf '%s\n' "$word" | sed -n 3p)
}

# Asks the other Redis nodes. Sets silent: how many do not answer or are still loading; electable: how many a fail-over may
# promote, or has promoted; filled: how many have data.
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
