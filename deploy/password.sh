# Passwords that are in files, as in docker compose; Kubernetes puts REDISCLI_AUTH into the environment. Sourced; POSIX sh.
# REDIS_PASSWORD_FILE: of all Redis nodes, by which they and the Sentinels know each other. USER_PASSWORD_FILE: of the
# workers' user `aizumi`, whose rights are in aizumi.acl.

if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
  REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE")
  export REDISCLI_AUTH
fi

# The lines of redis.conf that ask for passwords. To be given on standard input, where no list of processes shows them.
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
