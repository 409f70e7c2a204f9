"""1,000 seeded inputs a format: each is read, or refused in a sentence; none kills the process, hangs or bloats it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.inputs import FORMATS

INPUTS = int(os.environ.get("SSA_FUZZ_INPUTS", "1000"))
"""More, to look for more: the first 1,000 stay the same."""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", FORMATS)
def test_every_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", name, "0", str(INPUTS), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60 + INPUTS / 20,
    )
    seed = (tmp_path / "seed").read_text().strip() if (tmp_path / "seed").exists() else "the first"
    assert run.returncode == 0, f"seed {seed} of {name} ended the process: {run.returncode}\n{run.stderr[-2000:]}"
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["faults"] == [], f"{len(found['faults'])} faults of {name}"
    assert found["read"] > INPUTS / 50, "hardly anything is read: the inputs are bent too much to tell anything"
    assert found["refused"] > INPUTS / 50, "hardly anything is refused: the inputs are bent too little"
    assert found["grown_mb"] < 500
