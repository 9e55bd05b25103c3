#!/bin/bash
# Fetches the Debian packages that npm run bench -- peers compares aizumi with into a folder, and installs nothing.
# For Debian, as root or not; needs apt-get and dpkg-deb. Versions are those of the machine's own Debian release,
# so that the programs run on its C library.
set -euo pipefail
root=${AIZUMI_LOAD_PEERS_FOLDER:-/var/tmp/aizumi-tools/peers}
packages="beanstalkd nats-server webdis rabbitmq-server"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$root" "$work/archives/partial"
# An empty status: apt then fetches what the packages need even where this machine has it, so the folder stands alone.
: >"$work/status"
apt-get -qq update || echo "apt-get update failed: going on with the lists that are there" >&2
# shellcheck disable=SC2086
apt-get -qq -y --download-only -oDir::State::status="$work/status" -oDir::Cache::archives="$work/archives" \
  -oAPT::Install-Recommends=false -oAPT::Sandbox::User="$(id -un)" -oDebug::NoLocking=1 install $packages
mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
for d in bin sbin lib lib64; do [ -e "$root/$d" ] || ln -s "usr/$d" "$root/$d"; done
for deb in "$work"/archives/*.deb; do
  case ${deb##*/} in libc6_*) continue ;; esac # the machine's own C library and loader stay
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink
done
# erl has its folder written into it.
sed -i "s#ROOTDIR=/usr/lib/erlang#ROOTDIR=$root/usr/lib/erlang#" "$root/usr/lib/erlang/bin/erl"
echo "in $root: $packages"
