"""What a terminal is shown."""

import pytest

from fiftyone_ssa.files.printable import printable


@pytest.mark.parametrize("text", ["a b.jpg", "ein Bild – 写真", "x/é\u0301.png", "👩‍👩‍👧", "50 % [1]", "C:\\x"])
def test_plain_names_stay(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("a\nFAILED b", r"a\nFAILED b"),
        ("a\rb\tc\x07\x7f", r"a\rb\tc\x07\x7f"),
        ("a\x9b31m", r"a\u009b31m"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u2028b\u2066c", r"a\u2028b\u2066c"),
        ("\udcff.jpg", r"\udcff.jpg"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_breaks_of_our_own_stay() -> None:
    assert printable("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"
