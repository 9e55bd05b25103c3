# Names to addresses. Nodes and Sentinels know each other by addresses, so that nothing resolves a name after the start
# (docs/adr/0010-redis-in-kubernetes.md). In docker compose SELF, NODES and SENTINELS are addresses. In Kubernetes they are names
# of Services; their addresses are looked up when a server starts and remembered in $DATA/addresses, a line `NAME ADDRESS` each;
# below the first line of a name are the addresses that it had before. Sourced by ask.sh; POSIX sh with busybox.

DATA=${DATA:-/data}
SELF_AS_GIVEN=$SELF NODES_AS_GIVEN=$NODES SENTINELS_AS_GIVEN=$SENTINELS
FORMER_ADDRESSES=8
ADDRESSES=''
NAMES=$(printf '%s\n' "$SELF" $NODES $SENTINELS | grep -v -e : -e '^[0-9.]*$' | sort -u)

# look_up NAME: its address by DNS, or failure within 2 s where DNS is silent. /etc/hosts is not read: in a pod it has the pod's own
# name with the address of the pod, which changes, and not that of its Service.
look_up() {
  for domain in $(sed -n 's/^search[[:blank:]]//p' /etc/resolv.conf | tail -n 1) ''; do
    answer=$({ busybox timeout 2 busybox nslookup "$1${domain:+.$domain}"; } 2>/dev/null)
    # `timeout` ended it: so would each of the other domains
    case $? in 124 | 143) return 1 ;; esac
    address=$(printf '%s\n' "$answer" | awk '/^Name:/ { named = 1 } named && /^Address/ { print $NF; exit }')
    [ -z "$address" ] || { echo "$address" && return; }
  done
  return 1
}

# look_up_all: a line for each of NAMES that DNS answers; all are asked at once
look_up_all() {
  for name in $NAMES; do
    address=$(look_up "$name") && echo "$name $address" &
  done
  wait
}

remembered() { cat "$DATA/addresses" 2>/dev/null; }

# remember TABLE: the latest address of each name first. Two may do this at once (watch.sh and what starts the server).
remember() {
  [ -n "$NAMES" ] || return 0
  printf '%s\n' "$1" | awk -v most=$FORMER_ADDRESSES 'NF == 2 && !seen[$0]++ && kept[$1]++ <= most' >"$DATA/addresses.$$" &&
    mv "$DATA/addresses.$$" "$DATA/addresses"
}

# address_of NAME: by ADDRESSES; an address, or what is not there, is itself
address_of() {
  printf '%s\n' "$ADDRESSES" | awk -v name="$1" '$1 == name { found = $2; exit } END { print found == "" ? name : found }'
}

# use_addresses TABLE: from here on SELF, NODES and SENTINELS are addresses; fails, with `unknown`, where one is missing. An
# address that the table has first for two nodes is of the earlier one: the other's is from before they exchanged theirs.
use_addresses() {
  ADDRESSES=$1 unknown=''
  for name in $NAMES; do
    [ "$(address_of "$name")" != "$name" ] || unknown="$unknown $name"
  done
  for name in $(printf '%s\n' "$1" | awk -v nodes=" $(echo $NODES_AS_GIVEN) " '
    index(nodes, " " $1 " ") && !seen[$1]++ && taken[$2]++ { print $1 }'); do
    unknown="$unknown $name"
  done
  [ -z "$unknown" ] || return 1
  SELF=$(address_of "$SELF_AS_GIVEN")
  NODES=$(for each in $NODES_AS_GIVEN; do address_of "$each"; done)
  SENTINELS=$(for each in $SENTINELS_AS_GIVEN; do address_of "$each"; done)
}

# look_again: what DNS says now, and what is remembered of names that it does not answer
look_again() {
  found=$(look_up_all)
  use_addresses "$found
$(remembered)"
}

# At a start. What is remembered may be of long ago, and the first packets of a new pod are often lost: it is used only when
# DNS has not answered for all names in three rounds. Without either it waits.
find_addresses() {
  said='' rounds=1
  until look_again && { [ $rounds -ge 3 ] || [ "$(printf '%s\n' "$found" | grep -c .)" = "$(count $NAMES)" ]; }; do
    if [ -n "$unknown" ] && [ "$said" != "$unknown" ]; then
      say "waiting: DNS has no address of$unknown, and none is remembered"
      said=$unknown
    fi
    rounds=$((rounds + 1))
    sleep 1
  done
}
