#!/bin/sh
# POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA as with the official image. A volume whose top belongs to
# root (most do) needs PGDATA below its top, as there.
set -eu
case "${1:-}" in
-*) set -- postgres "$@" ;;
esac
if [ "${1:-}" != postgres ]; then
    exec "$@"
fi

sockets=/var/run/postgresql
[ -w "$sockets" ] || sockets=$PGDATA
mkdir -p "$PGDATA"
chmod 00700 "$PGDATA" # every time: a pod with fsGroup finds it opened to its group

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?must be set to make a database}"
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    # made beside and moved in last, so that a pod killed half-way starts over
    fresh=$PGDATA/.fresh
    rm -rf "$fresh"
    (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" >"$PGDATA/.password")
    initdb --pgdata="$fresh" --username="$user" --pwfile="$PGDATA/.password" --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
    rm "$PGDATA/.password"
    printf 'host all all all scram-sha-256\n' >>"$fresh/pg_hba.conf"
    if [ "$database" != postgres ]; then
        quoted=$(printf '%s' "$database" | sed 's/"/""/g')
        printf 'CREATE DATABASE "%s"\n' "$quoted" | postgres --single -j -D "$fresh" postgres >/dev/null
    fi
    find "$fresh" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    mv "$fresh/PG_VERSION" "$PGDATA"
    rmdir "$fresh"
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories="$sockets"
