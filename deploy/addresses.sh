# Resolves names to addresses. Nodes and Sentinels know each other by addresses, so that no server resolves a name after its start
# (docs/adr/0010-redis-in-kubernetes.md). In docker compose SELF, NODES and SENTINELS are addresses. In Kubernetes they are names
# of Services, which are resolved when a server starts and stored in $DATA/addresses, one line `NAME ADDRESS` each. The first line
# of a name is its current address, further lines are former ones. Sourced by ask.sh; POSIX sh with busybox.

DATA=${DATA:-/data}
SELF_AS_GIVEN=$SELF NODES_AS_GIVEN=$NODES SENTINELS_AS_GIVEN=$SENTINELS
FORMER_ADDRESSES=8
ADDRESSES=''
NAMES=$(printf '%s\n' "$SELF" $NODES $SENTINELS | grep -v -e : -e '^[0-9.]*$' | sort -u)

# look_up NAME: its address in DNS, or failure within 2 s if DNS is silent. Does not read /etc/hosts: in a pod that maps the pod's
# own name to the address of the pod, which changes, instead of that of its Service.
look_up() {
  for domain in $(sed -n 's/^search[[:blank:]]//p' /etc/resolv.conf | tail -n 1) ''; do
    answer=$({ busybox timeout 2 busybox nslookup "$1${domain:+.$domain}"; } 2>/dev/null)
    # ended by `timeout`: the other search domains would time out too
    case $? in 124 | 143) return 1 ;; esac
    address=$(printf '%s\n' "$answer" | awk '/^Name:/ { named = 1 } named && /^Address/ { print $NF; exit }')
    [ -z "$address" ] || { echo "$address" && return; }
  done
  return 1
}

# look_up_all: a line `NAME ADDRESS` for each of NAMES that DNS resolves; all are asked in parallel
look_up_all() {
  for name in $NAMES; do
    address=$(look_up "$name") && echo "$name $address" &
  done
  wait
}

remembered() { cat "$DATA/addresses" 2>/dev/null; }

# remember TABLE: stores a table with the latest address of each name first. watch.sh and a start script may do this at once.
remember() {
  [ -n "$NAMES" ] || return 0
  printf '%s\n' "$1" | awk -v most=$FORMER_ADDRESSES 'NF == 2 && !seen[$0]++ && kept[$1]++ <= most' >"$DATA/addresses.$$" &&
    mv "$DATA/addresses.$$" "$DATA/addresses"
}

# address_of NAME: its address according to ADDRESSES; an address or an unknown name is returned unchanged
address_of() {
  printf '%s\n' "$ADDRESSES" | awk -v name="$1" '$1 == name { found = $2; exit } END { print found == "" ? name : found }'
}

# use_addresses TABLE: replaces SELF, NODES and SENTINELS by addresses; if one is missing it fails and sets `unknown`. If two
# nodes have the same current address in the table, the earlier line is right: the other is from before they exchanged addresses.
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

# look_again: uses what DNS returns now, and the stored addresses of names that it does not resolve
look_again() {
  found=$(look_up_all)
  use_addresses "$found
$(remembered)"
}

# Called at a start. Stored addresses may be outdated, and the first packets of a new pod are often lost, so they are used only
# after DNS has failed to resolve all names in three rounds. Waits while a name has neither.
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
