"""How messages write values and counts."""

from fiftyone_ssa.errors import counted, said_by, shown


def test_counts_agree_with_their_nouns():
    told = [counted(number, noun) for number, noun in ((1, "image"), (0, "mask"), (2000, "image"), (1, "class"))]
    assert told == ["1 image", "0 masks", "2,000 images", "1 class"]
    assert [counted(3, noun) for noun in ("class", "patch", "box")] == ["3 classes", "3 patches", "3 boxes"]


def test_a_long_value_is_cut():
    assert shown("a" * 200, 20) == "'aaaaaaaaaaaaaaaa..."
    assert shown(10**90) == "a number of 299 bits"


def test_what_another_error_says_is_on_one_line_and_ends_visibly():
    assert said_by(ValueError("no\n  file")) == "no file"
    assert said_by(ValueError("a" * 400), 10) == "aaaaaaa..."
