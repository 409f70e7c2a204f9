"""The charts as Plotly gets them: whatever names and counts there are, and however many."""

import pytest

from panels import charts
from panels.shared import NO_NAME, named


def rows(*names, count=3):
    return [charts.Bar(name, count, name) for name in names]


@pytest.mark.parametrize("count", [1, 13, 25])
def test_a_chart_says_its_height_itself(count):
    """One that is there already keeps its old height in a box of another one: another field, other names."""
    bars = rows(*map(str, range(count)))
    assert charts.bars_layout(bars)["height"] == charts.bars_height_px(bars)
    assert charts.progress_layout()["height"] == charts.PROGRESS_PX


def test_tags_in_a_name_are_text():
    bars = rows("<b>bold</b> & co")
    assert charts.bars_layout(bars)["yaxis"]["ticktext"] == ["&lt;b>bold&lt;/b> &amp; co"]
    assert charts.bars(bars)[0]["hovertext"] == ["&lt;b>bold&lt;/b> &amp; co"]


def test_counts_have_room_behind_the_longest_bar():
    few, many = (charts.bars_layout(rows("a", count=count)) for count in (3, 1_234_567))
    assert few["margin"]["r"] < many["margin"]["r"]
    assert many["xaxis"]["range"][1] == 1_234_567


def test_an_empty_name_is_written_as_none():
    assert named("") == named(None) == NO_NAME
