#!/bin/sh
# Makes .venv and installs one pinned requirement set: `local` (to run) or `dev` (to run and to test).
# Needs Python 3.11 or newer and a package index; a repeated call is harmless.
set -eu
set_name="$1"
start=$(date +%s)

if [ ! -x .venv/bin/python ]; then
    for candidate in "${PYTHON:-python3.11}" python3.12 python3.13 python3; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        python="$candidate"
        break
    done
    if [ -z "${python:-}" ]; then
        echo "Python 3.11, 3.12 or 3.13 is missing: install it, or name it: make PYTHON=/path/to/python3.11 ..." >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2
        exit 1
    fi
    echo "environment: making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

pin=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "requirements-local.txt")
if ! .venv/bin/python -m uv --version 2>/dev/null | grep -q " $pin "; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$pin"
fi
echo "environment: installing $(grep -c '==' "requirements-$set_name.txt") packages of requirements-$set_name.txt"
.venv/bin/python -m uv pip install --quiet --require-hashes -r "requirements-$set_name.txt"
touch ".venv/.$set_name"
[ "$set_name" = dev ] && touch .venv/.local
echo "environment: ready after $(($(date +%s) - start)) s"
