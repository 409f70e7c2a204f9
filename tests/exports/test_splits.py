"""Splits: the shares that were asked for, the same for every order, a file always in one."""

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.splits import Splits, read_splits

PATHS = [f"/data/{number}.jpg" for number in range(100)]
SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def drawn(paths, seed=51, shares=SHARES):
    splits = Splits.by_ratio(shares, paths, seed)
    return {path: splits.of(path) for path in paths}


def test_shares_are_exact_whatever_the_order():
    found = drawn(PATHS)
    assert [list(found.values()).count(name) for name in SHARES] == [70, 20, 10]
    assert drawn(PATHS[::-1]) == found
    assert drawn(PATHS * 2) == found
    assert drawn(PATHS, seed=1) != found
    assert set(drawn(PATHS, shares={"train": 3, "val": 1}).values()) == {"train", "val"}


def test_images_that_are_added_move_few():
    before, after = drawn(PATHS), drawn([*PATHS, *(f"/more/{number}.jpg" for number in range(5))])
    assert sum(before[path] != after[path] for path in PATHS) <= 8


def test_a_field_names_them():
    splits = Splits.by_field("tags", ["train", "val", None])
    assert splits.names == ("train", "val")
    assert [splits.of("x", value) for value in ("val", ["odd", "train"], None, [], "other")] == [
        "val", "train", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{}, {"train": 0}, {"train": "much"}, {"a/b": 1}, {"..": 1}, {"a": 1, "A": 1}, {"train": float("nan")}]
)
def test_what_is_no_split_is_told(wrong):
    with pytest.raises(InputError):
        Splits.by_ratio(wrong, PATHS, 0)


def test_a_split_that_is_typed_twice_is_told():
    with pytest.raises(InputError, match="the split 'a' has two shares"):
        read_splits("a=0.5, b=0.2,a=0.3")
