# Reads passwords from files, as in docker compose; Kubernetes sets REDISCLI_AUTH in the environment. Sourced; POSIX sh.
# REDIS_PASSWORD_FILE: the password with which Redis nodes and Sentinels log in to each other. USER_PASSWORD_FILE: the password of
# the workers' user `aizumi`, whose rights are in aizumi.acl.

if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
  REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE")
  export REDISCLI_AUTH
fi

# Prints the lines of redis.conf that set passwords. Pass them on standard input, so that no process list shows them.
login_conf() {
  if [ -n "${REDISCLI_AUTH:-}" ]; then
    echo "requirepass \"$REDISCLI_AUTH\""
    echo "masterauth \"$REDISCLI_AUTH\""
  fi
  if [ -n "${USER_PASSWORD_FILE:-}" ]; then
    digest=$(busybox sha256sum <"$USER_PASSWORD_FILE")
    echo "user aizumi on #${digest%% *} $(cat "$(dirname "$0")/aizumi.acl")"
  fi
}
