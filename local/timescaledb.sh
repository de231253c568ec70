#!/bin/bash
# A PostgreSQL 17 with TimescaleDB (the Apache edition) from Debian's packages, for the tests of the metric store:
#
#   local/timescaledb.sh FOLDER [PORT]       makes it in FOLDER when it is not there, runs it until Ctrl-C
#   TIMESCALEDB_TEST_URL=... python -m pytest tests/integration/metric_store
#
# The packages are of a newer Debian than most machines have, so they are unpacked into a root of their own and run
# there; nothing is installed. Needs root, for chroot. DEBIAN_MIRROR names a mirror; by default the one apt uses.
set -euo pipefail

folder=$(mkdir -p "${1:?folder}" && cd "$1" && pwd)
port=${2:-5417}
release=trixie
# initdb starts its server through a shell.
packages=(postgresql-17-timescaledb coreutils dash)
root=$folder/root
bin=/usr/lib/postgresql/17/bin
# Any account without rights; it exists in the root only.
user=70

unpack() {
    local mirror=${DEBIAN_MIRROR:-}
    if [ -z "$mirror" ]; then
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    fi
    local apt=$folder/apt
    mkdir -p "$apt"/{etc/apt/preferences.d,state/lists/partial,cache/archives/partial}
    : > "$apt/state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" > "$apt/etc/apt/sources.list"
    local own=(
        -o "Dir::Etc=$apt/etc/apt" -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/state/status"
        -o "Dir::Cache=$apt/cache" -o APT::Install-Recommends=false -o APT::Sandbox::User=root -qq
    )
    apt-get "${own[@]}" update
    apt-get "${own[@]}" install --yes --download-only "${packages[@]}"
    rm -rf "$root.new"
    mkdir -p "$root.new"
    # The merged layout that the packages expect: without it each would make a folder of its own.
    mkdir -p "$root.new"/usr/{bin,sbin,lib,lib64} "$root.new"/{dev,tmp,etc,data}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$root.new/$name"; done
    for archive in "$apt"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$archive" | tar --extract --keep-directory-symlink --directory "$root.new"
    done
    ln -sf dash "$root.new/usr/bin/sh"
    echo "postgres:x:$user:$user::/data:/bin/sh" > "$root.new/etc/passwd"
    chmod 1777 "$root.new/tmp"
    mknod -m 666 "$root.new/dev/null" c 1 3
    mknod -m 666 "$root.new/dev/urandom" c 1 9
    chown "$user:$user" "$root.new/data"
    ldconfig -r "$root.new"
    mv "$root.new" "$root"
}

inside() { chroot --userspec="$user:$user" "$root" /usr/bin/env -i PATH=/usr/bin LC_ALL=C TZ=UTC "$@"; }

[ -d "$root" ] || unpack
if [ ! -e "$root/data/PG_VERSION" ]; then
    inside $bin/initdb --pgdata=/data --username=postgres --auth=trust --encoding=UTF8 --locale=C > "$folder/initdb.log"
fi
echo "TIMESCALEDB_TEST_URL=postgresql://postgres@127.0.0.1:$port/postgres"
exec chroot --userspec="$user:$user" "$root" /usr/bin/env -i PATH=/usr/bin LC_ALL=C TZ=UTC $bin/postgres -D /data \
    -c listen_addresses=127.0.0.1 -c "port=$port" -c unix_socket_directories= \
    -c shared_preload_libraries=timescaledb -c dynamic_shared_memory_type=mmap -c timescaledb.telemetry_level=off
