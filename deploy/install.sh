#!/bin/sh
# Install, upgrade or roll back meetergo-inbox as systemd services. Run it as root in a checkout or an unpacked release.
#
#   deploy/install.sh              install: code, user, keys, units, and a file for your settings. Once they are in it, the
#                                  same again. Also to upgrade: a new release beside the former, migrate, switch, restart
#   deploy/install.sh rollback     switch back to the release before
#
# Variables, with their defaults:
#   PREFIX=/opt/meetergo-inbox       releases/, and `current`, which points to one of them
#   SYSCONFDIR=/etc/meetergo-inbox   env and secrets/: created once, never overwritten
#   STATEDIR=/var/lib/meetergo-inbox the services' working folder
#   UNITDIR=/etc/systemd/system  BINDIR=/usr/local/bin  SERVICE_USER=meetergo-inbox
#   PYTHON=python3                   3.11 or newer
#   VENV=                            a virtual environment that has requirements.txt; empty: one for each release
#   MIGRATE=yes                      no: leave the database alone (another machine migrates it)
#   DESTDIR=                         a folder to put everything under, for packaging: no user, no database, no systemctl
set -eu
umask 022 # root's own may be 077: the services read their code as another user

PREFIX=${PREFIX:-/opt/meetergo-inbox}
SYSCONFDIR=${SYSCONFDIR:-/etc/meetergo-inbox}
STATEDIR=${STATEDIR:-/var/lib/meetergo-inbox}
UNITDIR=${UNITDIR:-/etc/systemd/system}
BINDIR=${BINDIR:-/usr/local/bin}
SERVICE_USER=${SERVICE_USER:-meetergo-inbox}
PYTHON=${PYTHON:-python3}
VENV=${VENV:-}
MIGRATE=${MIGRATE:-yes}
DESTDIR=${DESTDIR:-}
KEPT_RELEASES=3
SOURCE=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "meetergo-inbox: $*"; }
stop() { echo "meetergo-inbox: $*" >&2; exit 2; }

has_systemd() { [ -z "$DESTDIR" ] && [ "$UNITDIR" = /etc/systemd/system ] && [ -d /run/systemd/system ]; }

switch_to() { # atomically, so that a process that starts meanwhile finds one release or the other
    ln -sfn "releases/$1" "$DESTDIR$PREFIX/.current.new"
    mv -fT "$DESTDIR$PREFIX/.current.new" "$DESTDIR$PREFIX/current"
}

restart() {
    has_systemd || return 0
    systemctl daemon-reload
    systemctl enable --quiet meetergo-inbox.target meetergo-inbox-receiver meetergo-inbox-worker meetergo-inbox-scheduler
    systemctl restart meetergo-inbox.target meetergo-inbox-receiver meetergo-inbox-worker meetergo-inbox-scheduler
    systemctl try-restart meetergo-inbox-dashboard meetergo-inbox-api
}

if [ "${1:-install}" = rollback ]; then
    former=$(readlink "$DESTDIR$PREFIX/previous" 2> /dev/null) || stop "there is no release before this one."
    now=$(readlink "$DESTDIR$PREFIX/current")
    switch_to "$(basename "$former")"
    ln -sfn "$now" "$DESTDIR$PREFIX/previous"
    restart
    say "rolled back to $(basename "$former"). The database keeps its schema."
    exit 0
fi
[ "${1:-install}" = install ] || stop "usage: deploy/install.sh [install | rollback]"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$PYTHON is too old: Python 3.11 or newer is needed (PYTHON=python3.13 deploy/install.sh)."
[ -n "$DESTDIR" ] || [ "$(id -u)" = 0 ] || [ "$SERVICE_USER" = "$(id -un)" ] || stop "run this as root."

if [ -z "$DESTDIR" ] && ! id "$SERVICE_USER" > /dev/null 2>&1; then
    useradd --system --user-group --home-dir "$STATEDIR" --shell /usr/sbin/nologin "$SERVICE_USER"
fi
GROUP=$SERVICE_USER
[ -n "$DESTDIR" ] || GROUP=$(id -gn "$SERVICE_USER")

owned() { # by users of the machine, unless this makes a package or an ordinary user runs it
    [ -n "$DESTDIR" ] || [ "$(id -u)" != 0 ] || chown "$@"
}

version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$SOURCE/runtime/version.py")
release=$version-$(date -u +%Y%m%dT%H%M%S)
folder=$DESTDIR$PREFIX/releases/$release
n=1
while [ -e "$folder" ]; do n=$((n + 1)) release=${release%.*}.$n folder=$DESTDIR$PREFIX/releases/$release; done
say "installing $release into $DESTDIR$PREFIX"
mkdir -p "$folder"
chmod a+rx "$DESTDIR$PREFIX" "$DESTDIR$PREFIX/releases" # made under another umask by an earlier version
packages=$(sed -n 's/^COPY \([a-z_]*\) \1$/\1/p' "$SOURCE/Dockerfile") # the same as in the image
for part in $packages docs examples Procfile CHANGELOG.md requirements.txt requirements.hashes.txt; do
    cp -Rp "$SOURCE/$part" "$folder/"
done
owned -R root:root "$folder" # not by whoever cloned the checkout
chmod -R u+w,go-w,a+rX "$folder"

if [ -n "$VENV" ]; then
    ln -s "$VENV" "$folder/.venv"
else
    "$PYTHON" -m venv "$folder/.venv"
    "$folder/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r "$folder/requirements.hashes.txt"
fi
# Compiled once, here: the services must not write into their own code.
set --
for part in $packages; do set -- "$@" "$folder/$part"; done
"$folder/.venv/bin/python" -m compileall -q "$@"

secrets=$DESTDIR$SYSCONFDIR/secrets
mkdir -p "$secrets" "$DESTDIR$STATEDIR" "$DESTDIR$UNITDIR" "$DESTDIR$BINDIR"
chmod 750 "$DESTDIR$SYSCONFDIR" "$secrets" "$DESTDIR$STATEDIR"
new_secret() { # NAME, Python expression
    [ -s "$secrets/$1" ] && return 0
    (umask 077 && "$folder/.venv/bin/python" -c "$2" > "$secrets/$1")
    say "generated $SYSCONFDIR/secrets/$1: keep a copy of it where you keep passwords"
}
new_secret webhook_keys 'import secrets; print(secrets.token_urlsafe(32))'
new_secret body_keys 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'
unconfigured= # with the settings of the example alone, nothing can be migrated or started
[ -e "$DESTDIR$SYSCONFDIR/env" ] || {
    cp "$SOURCE/deploy/systemd/env.example" "$DESTDIR$SYSCONFDIR/env"
    unconfigured=yes
}
chmod 640 "$DESTDIR$SYSCONFDIR/env" "$secrets"/*
ln -sfn "$SYSCONFDIR/env" "$DESTDIR$STATEDIR/.env"
owned -R "root:$GROUP" "$DESTDIR$SYSCONFDIR"
owned "$SERVICE_USER:$GROUP" "$DESTDIR$STATEDIR"

fill() { # a template of deploy/systemd, with the places of this installation
    sed -e "s|@PREFIX@|$PREFIX|g; s|@SYSCONFDIR@|$SYSCONFDIR|g; s|@STATEDIR@|$STATEDIR|g" \
        -e "s|@USER@|$SERVICE_USER|g; s|@GROUP@|$GROUP|g" "$1" > "$2.new"
    mv -f "$2.new" "$2"
}
for unit in "$SOURCE"/deploy/systemd/*.service "$SOURCE"/deploy/systemd/*.target; do
    fill "$unit" "$DESTDIR$UNITDIR/$(basename "$unit")"
done
fill "$SOURCE/deploy/systemd/meetergo-inbox" "$DESTDIR$BINDIR/meetergo-inbox"
chmod 755 "$DESTDIR$BINDIR/meetergo-inbox"

if [ -z "$DESTDIR$unconfigured" ] && [ "$MIGRATE" = yes ]; then
    # Before the switch: the running release works on a schema that has more than it knows.
    MEETERGO_INBOX_RELEASE=$PREFIX/releases/$release "$BINDIR/meetergo-inbox" migrate || {
        say "the database could not be migrated, so nothing was switched. Correct $SYSCONFDIR/env and run this again." >&2
        rm -rf "$folder"
        exit 1
    }
fi

former=$(readlink "$DESTDIR$PREFIX/current" 2> /dev/null || true)
switch_to "$release"
[ -z "$former" ] || ln -sfn "$former" "$DESTDIR$PREFIX/previous"
[ -n "$unconfigured" ] || restart
find "$DESTDIR$PREFIX/releases" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n "+$((KEPT_RELEASES + 1))" |
    while read -r old; do
        case $(basename "$old") in
            "$release" | "$(basename "${former:-none}")") ;;
            *) rm -rf "$old" ;;
        esac
    done
if [ -n "$unconfigured" ]; then
    say "$release is installed. Put your settings into $SYSCONFDIR/env, and run this again: it migrates and starts everything."
else
    say "$release is installed. Settings: $SYSCONFDIR/env. Next: $BINDIR/meetergo-inbox status"
fi
