#!/bin/sh
# PID 1 of each Redis and Sentinel container, in docker compose and in Kubernetes. It starts the server, reaps the orphans of
# probes and other scripts (the shell does so whenever it waits), and exits with the server's exit code. A primary that is told to
# stop hands over first (hand-over.sh). watch.sh requests a restart with SIGUSR1.
# usage: init.sh redis|sentinel [more redis-server arguments]; environment as in start-redis.sh and start-sentinel.sh
set -u
here=$(dirname "$0")
kind=$1
shift
. "$here/password.sh"

# The limit of a hand-over, and the time after which it is interrupted; it may then need 8 s more if nobody answers. With Redis's
# own wait for its replicas (10 s at most) this fits into the 40 s of terminationGracePeriodSeconds and stop_grace_period.
HAND_OVER_S=8
HAND_OVER_AT_MOST_S=12

say() { echo "init: $*"; }

stops=0 ending=no restarting=no server='' hand_over='' watch=''

leads_beside() {
  case $( { busybox timeout 2 redis-cli -h 127.0.0.1 ROLE; } 2>/dev/null) in
    master*) return 0 ;;
  esac
  return 1
}

# These functions run in traps, between any two commands of this script: no signal is lost, and a second one interrupts the first.
end_server() {
  ending=yes
  if [ "$kind" = redis ] && [ -n "$server" ]; then
    busybox timeout $HAND_OVER_AT_MOST_S sh "$here/hand-over.sh" $HAND_OVER_S &
    hand_over=$!
    until wait "$hand_over"; ! kill -0 "$hand_over" 2>/dev/null; do :; done
    hand_over=''
  elif [ "$kind" = sentinel ]; then
    # In a pod a Sentinel is told to stop together with its Redis. While that Redis hands over, all Sentinels are needed: the
    # fail-over needs a majority, and workers ask Sentinels before they acknowledge. (In docker compose no Redis runs beside it.)
    tries=0
    while [ $tries -lt $((HAND_OVER_AT_MOST_S * 5)) ] && [ $stops -lt 2 ] && leads_beside; do
      tries=$((tries + 1))
      sleep 0.2
    done
  fi
  [ -z "$server" ] || kill -TERM "$server" 2>/dev/null
}
stop() {
  stops=$((stops + 1)) restarting=no
  if [ $ending = no ]; then
    end_server
  elif [ $stops -gt 1 ]; then
    # second signal: stop at once
    for each in $hand_over $server; do kill -TERM "$each" 2>/dev/null; done
  fi
}
restart() {
  [ $ending = no ] || return
  restarting=yes
  end_server
}
trap stop TERM INT
trap restart USR1
trap '' HUP

while :; do
  sh "$here/start-$kind.sh" "$@" &
  server=$!
  [ $stops = 0 ] || kill -TERM "$server"
  sh "$here/watch.sh" "$kind" $$ &
  watch=$!
  until wait "$server"; code=$?; ! kill -0 "$server" 2>/dev/null; do :; done
  # If the server ended during a trap, code is that of the interrupted wait: ask again. 127: the shell has already forgotten it.
  wait "$server"
  again=$?
  [ $again = 127 ] || code=$again
  server=''
  kill "$watch" 2>/dev/null
  [ $restarting = yes ] && [ $stops = 0 ] || exit $code
  say 'starting again'
  ending=no restarting=no
done
