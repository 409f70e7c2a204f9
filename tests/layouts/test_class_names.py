"""Two lists of names put together by name."""

from fiftyone_ssa.layouts.class_names import match_names, nearest


def test_equal_names_meet_wherever_they_stand():
    match = match_names(["dog", "cat"], ["cat", "dog", "cow"])
    assert (match.ids, match.alike, match.unknown, match.missing) == ((1, 0), (), (), ("cow",))


def test_case_spaces_dashes_and_synonyms_make_no_difference():
    match = match_names(["Traffic_Light", "bed ", "building, edifice"], ["building", "bed", "traffic light"])
    assert match.ids == (2, 1, 0)
    assert match.alike[0] == ("Traffic_Light", "traffic light")
    assert not match.missing


def test_several_names_may_mean_one_class():
    assert match_names(["tree", "Tree"], ["tree"]).ids == (0, 0)


def test_an_ambiguous_name_meets_none():
    match = match_names(["PERSON"], ["person", "Person"])
    assert match.none_in_common
    assert match.unknown[0][0] == "PERSON"
    assert match.unknown[0][1] in ("person", "Person")


def test_long_lists_are_counted():
    (sentence, _) = match_names([f"x{i}" for i in range(9)], ["cat"]).sentences()
    assert sentence.endswith("'x4' and 4 more")


def test_nearest_name():
    assert nearest("trafic light", ["sky", "traffic light"]) == "traffic light"
    assert nearest("zebra", ["sky"]) is None
