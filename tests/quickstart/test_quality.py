"""The small models' figures on six scenes that they never saw, with a margin below those of docs/quickstart.md."""

from __future__ import annotations

import pytest

from benchmarks.quality import measure, page


@pytest.fixture(scope="module")
def answer():
    return measure(6, decisions=("published", "filter", "fused"))


def test_sam_finds_objects_and_their_parts(answer):
    recall = answer["sam"]["masks"]["recall"]
    assert recall["things"] > 0.7
    assert recall["parts"] > 0.52


def test_ssa_beats_its_coarse_branch(answer):
    assert answer["own"]["ssa"]["gain"] > 0.08
    assert answer["own"]["ssa"]["miou"]["ssa"] > 0.63
    assert answer["sam"]["ssa"]["gain"] > 0.05


@pytest.mark.parametrize("source", ["sam", "own"])
def test_engine_names_objects(answer, source):
    engine = answer[source]["engine"]
    assert engine["things named"] > 0.84
    assert engine["outside named"] > 0.8
    assert engine["things proposed"] > 0.84


@pytest.mark.parametrize("source", ["sam", "own"])
def test_a_fused_decision_beats_each_stage_alone(answer, source):
    assert answer["decision"] == "fused"
    decisions = answer[source]["decisions"]
    assert decisions["fused"]["all"] > max(decisions["published"]["all"], decisions["filter"]["all"]) + 0.01
    assert decisions["fused"]["all"] == answer[source]["engine"]["masks named"]


@pytest.mark.parametrize(("source", "least"), [("sam", 0.8), ("own", 0.95)])
def test_wholes_and_parts_are_told_apart(answer, source, least):
    assert answer[source]["levels"]["all"] > least


def test_page_holds_the_figures(answer):
    text = page(answer)
    for scored in (answer["sam"], answer["own"]):
        assert f"{scored['ssa']['miou']['ssa']:.3f}" in text
        assert f"{scored['engine']['things named']:.1%}" in text
        assert all(f"| {kind} |" in text for kind in scored["engine"]["kinds"])
    assert f"{answer['sam']['masks']['recall']['parts']:.1%}" in text
    assert "| fused |" in text
