"""The model card that lies beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.mini.pool import FIRST_SEED, POOL


def write_card(folder: Path, name: str, about: str, trained: Mapping[str, int | float | str], figures: str) -> None:
    """Write README.md: what the model is, how it was trained, what it reached; as the hub's cards are laid out."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.name != "README.md") / 1e6
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
---
# mini/{name}

{about}

- **For:** the quickstart of fiftyone-ssa and its tests. It knows drawn scenes only and is of no use on photographs.
- **Data:** {POOL:,} scenes of `fiftyone_ssa.quickstart.scenes`, seeds from {FIRST_SEED:,};
  no photograph, no foreign weights.
- **Training:** {trained["steps"]:,} steps of {trained["batch_size"]} scenes, {trained["optimizer"]} at
  {trained["learning_rate"]:g}, from random weights; `python -m tools.mini {name}` does it again.
- **At the end of training** (running means): {figures}.
- **Scores on scenes it never saw:** `docs/quickstart.md`, by `python -m benchmarks.quality`.
- **Weights:** half precision, {size:.1f} MB in all.
""",
        encoding="utf-8",
    )
