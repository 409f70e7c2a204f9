"""Class ids never travel without names: other lists, a user's own classes, other encodings, files that are twins."""

import json

import numpy as np
import pytest
from PIL import Image

from fiftyone_ssa import cli
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.evaluate import evaluate_files
from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.masks.rle import class_rles

IDS = np.array([[0, 1, 1, 2]], np.uint8)


@pytest.fixture
def folders(tmp_path):
    """A folder of results and one of ground truth, and functions that write into them."""

    class Folders:
        results, truths = tmp_path / "results", tmp_path / "gt"

        def result(self, name, ids, classes=None):
            codes = {str(i): {"size": list(ids.shape), "counts": code.decode()} for i, code in class_rles(ids, 255)}
            record = {"annotations": [], "semantic_mask": codes}
            path = self.results / f"{name}_semantic.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record if classes is None else record | {"classes": list(classes)}))

        def truth(self, name, values, ending=".png"):
            path = self.truths / f"{name}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(values, np.uint8)).save(path)

        def evaluate(self, *arguments, **options):
            return evaluate_files(self.results, self.truths, *arguments, progress=False, **options)

    return Folders()


@pytest.mark.parametrize(
    "classes",
    [
        ["sky", "grass"],
        ["cat", "dog"],
        ade20k.NAMES[:-1],
        (*ade20k.NAMES[:-1], "pennant"),
        cityscapes.NAMES,
    ],
)
def test_another_class_list_is_refused(folders, classes):
    folders.result("a", IDS[:, :2], classes)
    folders.truth("a", IDS[:, :2] + 1)
    with pytest.raises(InputError, match=rf"a_semantic.json has other classes .* \({classes[0]!r}, .* for 150"):
        folders.evaluate("ade20k")


def test_one_result_of_another_list_is_refused_too(folders):
    folders.result("a", IDS, ade20k.NAMES)
    folders.result("b", IDS, ["cat", "dog", "cow"])
    for name in "ab":
        folders.truth(name, IDS + 1)
    with pytest.raises(InputError, match=r"b_semantic.json has other classes"):
        folders.evaluate("ade20k")


def test_names_in_another_order_are_scored_by_name(folders):
    order = np.random.default_rng(0).permutation(150)
    ids = np.arange(150, dtype=np.uint8).reshape(10, 15)
    folders.result("a", np.argsort(order)[ids].astype(np.uint8), [ade20k.NAMES[i] for i in order])
    folders.truth("a", ids + 1)
    scores = folders.evaluate("ade20k")
    assert (scores.mean_iou, scores.notes) == (1.0, ())


def test_more_classes_than_the_truth_are_told(folders):
    folders.result("a", np.array([[0, 1, 19]], np.uint8), (*cityscapes.NAMES, "dynamic"))
    folders.truth("a", [[0, 1, 1]], "_gtFine_labelTrainIds.png")
    (folders.results / "a_semantic.json").rename(folders.results / "a_leftImg8bit_semantic.json")
    scores = folders.evaluate("cityscapes")
    assert scores.pixel_accuracy == pytest.approx(2 / 3)
    assert "lacks classes of the prediction, whose pixels count as no class: 'dynamic'" in scores.notes[0]


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [("Person", "person"), ("traffic light", "traffic_light"), ("traffic-light", "Traffic Light"), ("bed", "bed ")],
)
def test_names_written_differently_are_the_same_and_told(folders, theirs, mine):
    folders.result("a", IDS, [mine, "car", "tree"])
    folders.truth("a", IDS)
    scores = folders.evaluate(classes=[theirs, "car", "tree"])
    assert scores.mean_iou == 1.0
    (note,) = scores.notes
    assert f"{mine!r} for {theirs.strip()!r}" in note


def test_a_typing_error_is_not_guessed_but_its_nearest_name_is_told(folders):
    folders.result("a", IDS, ["trafic light", "car", "tree"])
    folders.truth("a", IDS)
    scores = folders.evaluate(classes=["traffic light", "car", "tree"])
    assert scores.iou.tolist() == [0.0, 1.0, 1.0]
    text = str(scores)
    assert "note: the ground truth lacks classes of the prediction" in text
    assert "'trafic light' (nearest: 'traffic light')" in text
    assert "the prediction lacks classes of the ground truth, whose pixels are all misses: 'traffic light'" in text


def test_no_ids_are_said_to_be_taken_from_results_that_have_none(folders):
    folders.truth("a", IDS + 1)
    folders.results.mkdir()
    (folders.results / "a_semantic.json").write_text('{"annotations": []}')  # as SSA-engine writes
    scores = folders.evaluate("ade20k")
    assert "it has no semantic_mask" in scores.errors["a"]
    assert scores.notes == ()


def test_results_without_names_are_read_by_ids_and_that_is_said(folders):
    folders.result("a", IDS)
    folders.result("b", IDS, ade20k.NAMES)
    folders.result("c", IDS + np.uint8(150))
    for name in "abc":
        folders.truth(name, IDS + 1)
    scores = folders.evaluate("ade20k")
    assert scores.pixel_accuracy == pytest.approx(2 / 3)
    assert "1 results carry no class names" in scores.notes[0]
    assert "class id 150 is unknown" in scores.errors["c"]


@pytest.mark.parametrize("classes", ["cat", [], [1], {"0": "cat"}, ["cat", None]])
def test_a_damaged_class_list_costs_its_image(folders, classes):
    folders.result("a", IDS, ade20k.NAMES)
    folders.result("b", IDS)
    path = folders.results / "b_semantic.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": classes}))
    for name in "ab":
        folders.truth(name, IDS + 1)
    scores = folders.evaluate("ade20k")
    assert scores.pixel_accuracy == 0.5
    assert "classes must be a list of names" in scores.errors["b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.txt", "\ufeffcat\r\ndog \r\ncow\r\n\r\n"),
        ("c.json", '["cat", "dog", "cow"]'),
        ("c.JSON", '{"0": "cat", "1": "dog", "2": "cow"}'),
    ],
)
def test_own_classes_from_a_file(folders, tmp_path, name, content, capsys):
    (tmp_path / name).write_text(content, encoding="utf-8")
    folders.result("a", 2 - IDS, ["cow", "dog", "cat"])
    folders.truth("a", IDS)
    assert cli.main(["evaluate", str(folders.results), str(folders.truths), "--classes", str(tmp_path / name)]) == 0
    out = capsys.readouterr().out
    assert "1 image: mIoU  100.00" in out
    assert "cow" in out


def test_more_classes_than_fit_eight_bits(folders):
    ids = np.arange(300, dtype=np.uint16).reshape(10, 30)
    names = [f"class {i}" for i in range(300)]
    codes = {str(i): {"size": [10, 30], "counts": code.decode()} for i, code in class_rles(299 - ids, 65535)}
    folders.result("a", IDS)
    record = {"semantic_mask": codes, "classes": names[::-1]}
    (folders.results / "a_semantic.json").write_text(json.dumps(record))
    folders.truths.mkdir()
    Image.fromarray(ids).save(folders.truths / "a.png")
    scores = folders.evaluate(classes=names)
    assert (scores.mean_iou, len(scores.names)) == (1.0, 300)


def test_own_classes_by_value_ignore_the_others_and_say_so(folders):
    folders.result("a", IDS, ["cat", "dog", "cow"])
    folders.truth("a", [[0, 7, 9, 200]])
    scores = folders.evaluate(classes={7: "dog", 200: "cow"})
    assert scores.mean_iou == 1.0
    assert scores.images == 1
    assert any("values of the ground truth without a name count as no class: 9" in note for note in scores.notes)


def test_own_classes_of_one_name_are_one(folders):
    folders.result("a", IDS, ["cat", "dog", "cat"])
    folders.truth("a", [[2, 0, 1, 2]])
    scores = folders.evaluate(classes=["dog", "dog", "cat"])
    assert (scores.names, scores.mean_iou) == (("dog", "cat"), 1.0)
    folders.result("a", IDS)  # by their place where it carries no names
    folders.truth("a", IDS)
    assert folders.evaluate(classes={0: "dog", 1: "cat", 2: "dog"}).mean_iou == 1.0


def test_own_classes_by_colour(folders):
    folders.result("a", IDS, ["cat", "dog", "cow"])
    folders.truth("a", [[[255, 0, 0], [0, 255, 0], [0, 255, 0], [1, 2, 3]]])
    assert folders.evaluate(classes={"#FF0000": "cat", "#00ff00": "dog", "#010203": "cow"}).mean_iou == 1.0
    scores = folders.evaluate(classes={"#ff0000": "cat", "#00ff00": "dog"})
    assert scores.notes[-1].endswith("colours of the ground truth without a name count as no class: #010203")
    scores = folders.evaluate(classes=["cat", "dog", "cow"])
    assert "holds colours where class values are expected" in scores.errors["a"]


def test_own_classes_listed_take_no_value_beyond_them(folders):
    folders.result("a", IDS, ["cat", "dog", "cow"])
    folders.truth("a", IDS + 1)
    scores = folders.evaluate(classes=["cat", "dog", "cow"])
    assert "ground truth value 3 has no class: there are 3 names, for 0 to 2" in scores.errors["a"]


def test_ids_without_names_do_not_fit_a_mapping(folders):
    folders.result("a", IDS)
    folders.truth("a", IDS)
    assert folders.evaluate(classes={0: "cat", 1: "dog", 2: "cow"}).mean_iou == 1.0
    assert "carries no class names" in folders.evaluate(classes={7: "cat", 8: "dog", 9: "cow"}).errors["a"]


@pytest.mark.parametrize("named", [True, False])
def test_some_of_a_data_sets_classes(folders, named):
    folders.result("a", IDS, ade20k.NAMES if named else None)
    folders.truth("a", [[1, 2, 3, 3]])
    scores = folders.evaluate("ade20k", classes=["Sky", "building"])
    assert scores.names == ("sky", "building")
    assert scores.confusion.tolist() == [[1, 1, 0], [0, 1, 0]]
    folders.result("a", IDS, ["building", "sky", "mast"])
    assert folders.evaluate("ade20k", classes=["sky", "building"]).images == 1
    with pytest.raises(InputError, match=r"names of ade20k .* got 'skyy', nearest 'sky'"):
        folders.evaluate("ade20k", classes=["skyy"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "got 0 names"),
        (["cat", ""], "name of class 1 must be text"),
        (["cat", 3], "name of class 1 must be text"),
        ({"red": "cat"}, "'red' is no value of 0 to 65535"),
        ({-1: "cat"}, "'?-1'? is no value"),
        ({"#12345": "cat"}, "no colour like"),
        ({1: "cat", "#000001": "dog"}, "every value once, and either numbers or colours"),
        ({1: "cat", "1": "dog"}, "every value once"),
        ("no-such-file.txt", "cannot be read"),
        (5, "expected a text file of names"),
    ],
)
def test_classes_that_are_none_get_one_sentence(folders, classes, message):
    folders.result("a", IDS)
    folders.truth("a", IDS)
    with pytest.raises(InputError, match=message):
        folders.evaluate(classes=classes)


@pytest.mark.parametrize("content", ["{", "[" * 5000, '"cat"', "3", "\udcff"])
def test_a_file_that_lists_no_classes_gets_one_sentence(folders, tmp_path, content):
    folders.result("a", IDS)
    folders.truth("a", IDS)
    (tmp_path / "c.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"c.json.*expected a text file of names"):
        folders.evaluate(classes=tmp_path / "c.json")


def test_neither_dataset_nor_classes(folders, capsys):
    folders.result("a", IDS)
    folders.truth("a", IDS)
    assert cli.main(["evaluate", str(folders.results), str(folders.truths)]) == 2
    assert "name the ground truth's dataset (ade20k, cityscapes, foggy-driving; --dataset) or your own classes" in (
        capsys.readouterr().err
    )


def test_only_annotated_leaves_missing_predictions_out(folders, capsys):
    folders.result("a", IDS, ade20k.NAMES)
    for name in "abc":
        folders.truth(name, IDS + 1)
    assert folders.evaluate("ade20k").pixel_accuracy == pytest.approx(1 / 3)
    scores = folders.evaluate("ade20k", only_annotated=True)
    assert (scores.images, scores.pixel_accuracy) == (1, 1.0)
    command = ["evaluate", str(folders.results), str(folders.truths), "--dataset", "ade20k", "--only-annotated"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith("\n2 without a prediction are left out\n")


def test_what_was_not_compared_is_counted_at_the_end(folders):
    for name in "abde":
        folders.result(name, IDS, ade20k.NAMES)
    for name in "abcd":
        folders.truth(name, IDS + 1)
    (folders.truths / "b.png").write_bytes(b"\x89PNG")
    (folders.results / "d_semantic.json").write_text("{")
    scores = folders.evaluate("ade20k")
    assert str(scores).splitlines()[-1] == (
        "1 without a prediction count as misses; 1 whose prediction cannot be used count as misses; "
        "1 whose ground truth cannot be read are left out; 1 without ground truth are left out"
    )
    assert scores.broken_ground_truth == ("b",)


def test_twins_by_case_are_each_scored(folders):
    for number, name in enumerate(("a1", "A1", "sub/b", "SUB/b")):
        folders.result(name, np.full((1, 2), number, np.uint8), ade20k.NAMES)
        folders.truth(name, np.full((1, 2), number + 1))
    scores = folders.evaluate("ade20k")
    assert (scores.images, scores.mean_iou) == (4, 1.0)


def test_ade20k_that_was_reduced_already_is_told(folders):
    folders.result("a", IDS, ade20k.NAMES)
    folders.truth("a", [[0, 1, 255, 149]])
    assert "holds 0 and 255 but never 150" in folders.evaluate("ade20k").notes[0]
    folders.truth("a", [[0, 1, 4, 150]])
    assert folders.evaluate("ade20k").notes == ()


def test_ade20k_off_by_one_is_told_without_any_255(folders):
    ids = np.arange(1, 150, dtype=np.uint8)[None]
    folders.result("a", ids, ade20k.NAMES)
    folders.truth("a", ids)
    assert "if the ground truth's class ids were one higher" in folders.evaluate("ade20k").notes[0]


@pytest.mark.parametrize(
    ("ending", "values", "message"),
    [
        ("_gtFine_labelTrainIds.png", [[7, 8, 11, 23]], r"hold label ids .* name them \*_labelIds.png"),
        ("_gtFine_labelIds.png", [[0, 8, 11, 255]], r"hold trainIds; name them \*_labelTrainIds.png"),
    ],
)
def test_cityscapes_ids_of_the_other_kind_are_refused(folders, ending, values, message):
    for name in "ab":
        folders.result(f"{name}_leftImg8bit", IDS, cityscapes.NAMES)
    folders.truth("a", values, ending)
    folders.truth("b", [[7, 7, 7, 7]], ending)
    with pytest.raises(InputError, match=message):
        folders.evaluate("cityscapes")


@pytest.mark.parametrize("kind", ["P", "1", "I;16", "RGB", "turned"])
def test_ground_truth_of_any_exact_kind(folders, kind):
    values = np.array([[0, 1, 1, 1]], np.uint8)
    folders.truths.mkdir()
    exif = Image.Exif()
    if kind == "P":
        picture = Image.fromarray(values).convert("P")
        picture.putdata(values.ravel().tolist())
        picture.putpalette([255, 255, 255, 0, 0, 0])
    elif kind == "1":
        picture = Image.fromarray(values.astype(bool))
    elif kind == "I;16":
        picture = Image.fromarray(values.astype(np.uint16))
    elif kind == "RGB":
        picture = Image.fromarray(np.repeat(values[..., None], 3, axis=2))
    else:
        picture = Image.fromarray(np.rot90(values).copy())
        exif[0x112] = 6
    picture.save(folders.truths / "a.png", exif=exif)
    folders.result("a", values, ["cat", "dog"])
    assert folders.evaluate(classes=["cat", "dog"]).mean_iou == 1.0


def test_several_processes_find_what_one_finds(folders, monkeypatch):
    monkeypatch.setattr("fiftyone_ssa.folders.evaluate.IMAGES", 2)
    random = np.random.default_rng(0)
    for index in range(9):
        truth, ids = random.integers(0, 3, (2, 4, 5), np.uint8)
        if index != 4:
            folders.truth(f"{index}", np.where(truth == 2, 77, truth) if index == 3 else truth)
        if index != 5:
            names = [None, ["sky", "tree", "road"], ["tree", "sky", "road", "kerb"]][index % 3]
            folders.result(f"{index}", ids if index != 7 else ids[:2], names)
    folders.truth("broken", IDS)
    (folders.truths / "broken.png").write_bytes(b"no picture")
    one, two = (folders.evaluate(classes=["sky", "tree", "road"], workers=count) for count in (1, 2))
    assert two.to_json() == one.to_json()
    np.testing.assert_array_equal(two.confusion, one.confusion)
    for name in ("errors", "notes", "broken_ground_truth", "missing_predictions", "missing_ground_truth"):
        assert getattr(two, name) == getattr(one, name)
    assert (len(one.errors), len(one.notes)) == (3, 2)
    folders.result("8", np.zeros((4, 5), np.uint8), ["cat"])
    with pytest.raises(InputError, match=r"8_semantic\.json has other classes"):
        folders.evaluate(classes=["sky", "tree", "road"], workers=2)
    with pytest.raises(InputError, match="workers must be a whole number from 1 to 64"):
        folders.evaluate(classes=["sky", "tree", "road"], workers=0)
