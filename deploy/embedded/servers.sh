#!/bin/sh
# Installs the servers and browsers that the tests start and that this machine lacks; called by `make test`.
# A test that needs one adds its line here: `need COMMAND PACKAGE`. As root on Debian or Ubuntu it is installed; elsewhere this says what to do.
set -eu

need() {
  command -v "$1" >/dev/null && return
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "tests: installing $2" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null && return
  fi
  echo "tests: $1 is missing, and the tests start it. Install it, for example: sudo apt-get install $2. Then run the same command again." >&2
  exit 1
}

need git git
need openssl openssl
PATH="$PATH:$(echo /usr/lib/postgresql/*/bin | tr " " :)" # where Debian keeps initdb
need initdb postgresql
need redis-server redis-server
