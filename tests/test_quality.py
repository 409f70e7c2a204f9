"""The small models' figures on 20 scenes that they never saw, with a margin below those of docs/quickstart.md."""

from __future__ import annotations

import pytest

from benchmarks.quality import measure, page


@pytest.fixture(scope="module")
def answer():
    return measure(20)


def test_ssa_beats_its_coarse_branch(answer):
    assert answer["ssa"]["gain"] > 0.04


def test_engine_names_objects(answer):
    engine = answer["engine"]
    assert engine["things named"] > 0.75
    assert engine["outside named"] > 0.6
    assert engine["things proposed"] > 0.88


def test_page_holds_the_figures(answer):
    text = page(answer)
    assert f"{answer['ssa']['miou']['ssa']:.3f}" in text
    assert f"{answer['engine']['things named']:.1%}" in text
    assert all(f"| {kind} |" in text for kind in answer["engine"]["kinds"])
