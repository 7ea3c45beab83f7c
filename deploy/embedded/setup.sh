#!/bin/sh
# Makes .venv in the project folder from requirements.lock, hashes checked, and puts the checkout on its path. The same again is quick and
# changes nothing. Needs Python 3.11 to 3.13 with venv and pip, and a package index; afterwards nothing needs a network.
set -eu
cd "$(dirname "$0")/../.."

say() { echo "set-up: $*" >&2; }
fail() { say "$@"; exit 1; }

python() {
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then echo "$candidate"; return; fi
  done
  fail "no Python 3.11 to 3.13 was found as ${PYTHON:-python3}. Install one, or name it: make PYTHON=/path/to/python3.11"
}

# apt PACKAGE WHY: installs a system package where that is possible, else says what to do.
apt() {
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "installing $1: $2"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null && return
  fi
  fail "$2, and it could not be installed from here. Install it, for example: sudo apt-get install $1. Then run the same command again."
}

environment() {
  [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null && return
  chosen=$(python)
  "$chosen" -c 'import ensurepip' 2>/dev/null || apt python3-venv "$chosen cannot make environments: its venv module is not there"
  say "making .venv with $("$chosen" --version)"
  "$chosen" -m venv --clear .venv
}

# uv is the one thing that pip installs: its own lines of the lock.
installer() {
  locked=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
  [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" = "$locked" ] && return
  sed -n '/^uv==/,/[^\\]$/p' requirements.lock >.venv/uv.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
}

packages() {
  say "installing $(grep -c '^[a-z]' requirements.lock) packages from requirements.lock"
  VIRTUAL_ENV=$PWD/.venv
  export VIRTUAL_ENV
  .venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock || {
    say "uv could not; pip may know an index that uv does not. Trying pip, which takes some minutes"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
  }
  .venv/bin/uv pip install --quiet --offline --no-deps --no-build-isolation --editable .
}

environment
installer
packages
if [ "$(uname -s)" = Linux ]; then
  .venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || apt libgomp1 "LightGBM needs the system library libgomp1"
fi
touch .venv/ready
