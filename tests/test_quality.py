"""The small models' figures on 20 scenes that they never saw, with a margin below those of docs/quickstart.md."""

from __future__ import annotations

import pytest

from benchmarks.quality import measure, page


@pytest.fixture(scope="module")
def answer():
    return measure(20)


def test_ssa_beats_its_coarse_branch(answer):
    assert answer["ssa"]["gain"] > 0.08
    assert answer["ssa"]["miou"]["ssa"] > 0.65


def test_engine_names_objects(answer):
    engine = answer["engine"]
    assert engine["things named"] > 0.8
    assert engine["outside named"] > 0.65
    assert engine["things proposed"] > 0.92


def test_page_holds_the_figures(answer):
    text = page(answer)
    assert f"{answer['ssa']['miou']['ssa']:.3f}" in text
    assert f"{answer['engine']['things named']:.1%}" in text
    assert all(f"| {kind} |" in text for kind in answer["engine"]["kinds"])
