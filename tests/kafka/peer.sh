#!/bin/sh
# Runs peer.py with Confluent's Python client, installed once into the cache.
#
#   peer.sh install
#   peer.sh COMMAND …        see peer.py
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${OMLSP_TEST_CACHE:-$HOME/.cache/omlsp}/kafka
venv=$cache/peer-2.16.0

install() {
    [ -f "$venv/complete" ] && return
    mkdir -p "$cache"
    # A virtual environment cannot be moved, so whoever installs holds a lock.
    (
        flock 9
        [ -f "$venv/complete" ] && exit
        python3 -m venv --clear "$venv" >&2
        "$venv/bin/pip" -q install 'confluent-kafka[avro,schemaregistry]==2.16.0' >&2
        touch "$venv/complete"
    ) 9> "$cache/peer.lock"
}

install
[ "${1:-}" = install ] || exec "$venv/bin/python" "$here/peer.py" "$@"
