"""All benchmarks, one process each, as one JSON object: `python -m benchmarks [--only NAME ...] [--out FILE]`.

Each figure stands beside its plain twin or the library that it replaces, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks._packages import installed

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def main() -> int:
    """Run the benchmarks chosen; non-zero if one failed, whose last words take the place of its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args()
    packages = ("torch", "transformers", "fiftyone", "numpy")
    report: dict[str, object] = {
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "packages": {name: installed(name) for name in packages},
    }
    failed = False
    for name in options.only:
        print(f"benchmark: {name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parent)
        try:
            # FiftyOne may greet on stdout before, and its mongod has a last word there
            report[name], _ = json.JSONDecoder().raw_decode(run.stdout, run.stdout.index("{"))
        except ValueError:
            failed = True
            report[name] = {"error": (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]}
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
