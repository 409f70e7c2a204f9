"""How much memory this process may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiftyone_ssa.files import memory


def test_the_least_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (str(tmp_path / "none"), str(limit)))
    limit.write_text("max\n")
    machine = memory.memory_bytes()
    assert 100_000_000 < machine <= 1 << 40
    limit.write_text("9223372036854771712\n")
    assert memory.memory_bytes() == machine
    limit.write_text("50000000\n")
    assert memory.memory_bytes() == 50_000_000
