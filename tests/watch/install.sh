#!/bin/sh
# What the tests of watching need from Debian, installed once; prints where it is.
#
#   install.sh chromium      the folder with `chromium` and `chromedriver`; installed by root
#   install.sh prometheus    the folder with `prometheus` and `promtool`; unpacked into the cache by anybody
#
# The cache is ${OMLSP_TEST_CACHE:-~/.cache/omlsp}, outside the clone.
set -eu

cache=${OMLSP_TEST_CACHE:-$HOME/.cache/omlsp}
mkdir -p "$cache"

# One at a time: tests run side by side, and apt itself does not wait.
lock() {
    exec 9> "$cache/$1.lock"
    flock 9
}

# Repeats with fresh lists: those of a fresh machine may be missing, or name what is gone.
with_lists() {
    "$@" >&2 || { apt-get update -qq >&2 && "$@" >&2; }
}

chromium() {
    lock apt
    if ! command -v chromium > /dev/null || ! command -v chromedriver > /dev/null; then
        [ "$(id -u)" = 0 ] || { echo "only root can install chromium and chromium-driver" >&2; exit 1; }
        with_lists env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-dejavu-core
    fi
    dirname "$(command -v chromedriver)"
}

prometheus() {
    lock prometheus
    folder=$cache/prometheus
    if [ ! -x "$folder/usr/bin/promtool" ]; then
        fresh=$(mktemp -d "$cache/fresh.XXXXXX")
        # The package would start a service; its two programs need nothing else.
        (cd "$fresh" && with_lists apt-get download -qq prometheus && dpkg-deb -x ./*.deb .) >&2
        rm -rf "$folder" && mv -T "$fresh" "$folder"
    fi
    echo "$folder/usr/bin"
}

case ${1:-} in
    chromium) chromium ;;
    prometheus) prometheus ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
