#!/bin/sh
# `--option ...` or `file.conf` is for redis-server, as with the official image.
set -eu
case "${1:-}" in
-* | *.conf) set -- redis-server "$@" ;;
esac
# Like the official image: who must not get in is kept out by --requirepass or a network policy.
if [ "${1:-}" = redis-server ]; then
    set -- "$@" --protected-mode no
fi
exec "$@"
