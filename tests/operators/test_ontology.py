"""`ontology` from the App, headless, and its command."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_ssa import Ontology, cli
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/ontology"
NAMES = ("sofa", "couch", "wooden chair", "chair")


@pytest.fixture
def dataset(photographs):
    """Three images with four masks each, named by nobody's machine but with proposals."""
    photographs.set_values(
        "ssa",
        [
            fo.Detections(
                detections=[
                    fo.Detection(label=name, bounding_box=[0, 0, 0.5, 1], mask=np.ones((2, 2), bool)) for name in NAMES
                ]
            )
            for _ in range(3)
        ],
    )
    return photographs


def classes(dataset, field="ssa_classes"):
    dataset.reload()
    return dataset.count_values(f"{field}.detections.label") if dataset.has_sample_field(field) else {}


def test_the_form_begins_with_the_suggestion_and_says_what_is_unsure(form, dataset):
    fields = form("ontology", dataset)
    assert fields["classes_of_ssa"]["default"] == "couch = sofa\nchair\nwooden chair\n"
    assert "Empty: ssa_classes" in str(fields["to"])
    assert "chair and wooden chair" in str(fields["unsure"])
    assert "12 masks have 4 names, here in 3 classes" in str(fields["amount"])
    assert (
        form("ontology", dataset, join=True)["classes_of_ssa_joined"]["default"]
        == "couch = sofa\nchair = wooden chair\n"
    )
    edited = form("ontology", dataset, classes_of_ssa="seat = sofa, couch")
    assert "12 masks have 4 names, here in 1 class; 2 names of 6 masks mean no class" in str(edited["amount"])
    wrong = form("ontology", dataset, to="ssa", file="/none.toml")
    assert wrong["file"]["invalid"]
    assert wrong["to"]["invalid"]
    assert form("ontology", dataset, classes_of_ssa="a\na")["classes_of_ssa"]["invalid"]


def test_a_files_path_is_whole_and_new(form, registry, dataset, tmp_path, monkeypatch):
    for name in ("file", "save_to"):
        told = form("ontology", dataset, **{name: "mine.toml"})[name]["error_message"]
        assert told.endswith("must be an absolute path, got 'mine.toml'")
    (tmp_path / "mine.toml").write_text("")
    assert (
        "is there already" in form("ontology", dataset, save_to=str(tmp_path / "mine.toml"))["save_to"]["error_message"]
    )
    monkeypatch.chdir(tmp_path)
    registry.get_operator(URI)(dataset, "ssa", save_to="theirs.toml")
    assert (tmp_path / "theirs.toml").is_file()


def test_after_it_was_applied_the_form_means_what_it_was_made_of_and_offers_to_undo(form, registry, dataset):
    assert "no ontology was applied" in form("ontology", dataset, action="undo")["refusal"]["error_message"]
    registry.get_operator(URI)(dataset, "ssa", classes_of_ssa="seat = sofa, couch")
    registry.get_operator(URI)(dataset, "ssa", to="mine")
    for shown in ("ssa_classes", "mine"):
        fields = form("ontology", dataset, [shown], action="undo")
        assert (fields["to"]["default"], sorted(fields["to"]["type"]["values"])) == (shown, ["mine", "ssa_classes"])
        assert "label_field" not in fields
    again = form("ontology", dataset, ["ssa_classes"])
    assert again["label_field"]["default"] == "ssa"
    assert not again["to"]["invalid"]


def test_names_that_mean_no_class_keep_their_colours(registry, dataset):
    registry.get_operator(URI)(dataset, "ssa", classes_of_ssa="seat = sofa, couch")
    dataset.reload()
    (entry,) = [entry for entry in dataset.app_config.color_scheme.fields if entry["path"] == "ssa_classes"]
    colours = {row["value"]: row["color"] for row in entry["valueColors"]}
    assert {name: colours[name] for name in ("seat", "chair")} == {
        "seat": colour_of("seat"),
        "chair": colour_of("chair"),
    }


def test_the_form_shows_what_classes_look_like(form, dataset):
    fields = form("ontology", dataset)
    assert fields["pictures_of_ssa"]["default"] == "May be the same 1 to 2: chair ... wooden chair"
    assert fields["sheet"]["view"]["alt"] == "chair (3), wooden chair (3)"
    assert fields["sheet"]["default"].startswith("data:image/jpeg;base64,")
    every = form("ontology", dataset, pictures_of_ssa="Classes 1 to 3: couch ... wooden chair")
    assert every["sheet"]["view"]["alt"] == "couch (6), chair (3), wooden chair (3)"
    assert "sheet" not in form("ontology", dataset, pictures_of_ssa="none")
    assert form("ontology", dataset, pictures_of_ssa="Classes of another")["pictures_of_ssa"]["invalid"]


def test_it_runs_without_a_form_and_is_taken_back(registry, dataset):
    message = foo.execute_operator(URI, {"dataset": dataset}).result["message"]
    assert message.startswith("gave 12 masks in 3 images a class in 'ssa_classes'; 3 another than their name")
    assert classes(dataset) == {"couch": 6, "chair": 3, "wooden chair": 3}
    foo.execute_operator(URI, {"dataset": dataset}, params={"action": "undo"})
    assert classes(dataset) == {}


def test_edited_lines_are_what_counts_and_are_saved(registry, dataset, tmp_path):
    lines = {"classes_of_ssa": "seat = sofa, couch, chair", "others": "other", "save_to": str(tmp_path / "seats.toml")}
    registry.get_operator(URI)(dataset, "ssa", **lines)
    assert classes(dataset) == {"seat": 9, "other": 3}
    assert Ontology.load(tmp_path / "seats.toml").class_of("couch").name == "seat"
    again = {"file": str(tmp_path / "seats.toml"), "to": "second"}
    registry.get_operator(URI)(dataset, "ssa", **again)
    assert classes(dataset, "second") == {"seat": 9, "other": 3}


def test_the_command_suggests_applies_and_takes_back(dataset, tmp_path, capsys):
    file, name = str(tmp_path / "mine.toml"), dataset.name
    assert cli.main(["ontology", "suggest", name, file]) == 0
    assert "4 names in 3 classes; 1 may be the same as others" in capsys.readouterr().out
    assert cli.main(["ontology", "suggest", name, file]) == 2
    assert cli.main(["ontology", "suggest", name, file, "--join", "--overwrite"]) == 0
    assert cli.main(["ontology", "apply", name, file, "--to", "mine", "--dry-run"]) == 0
    assert "would give 12 masks" in capsys.readouterr().out
    assert classes(dataset, "mine") == {}
    assert cli.main(["ontology", "apply", name, file, "--to", "mine"]) == 0
    assert classes(dataset, "mine") == {"chair": 6, "couch": 6}
    assert cli.main(["ontology", "undo", name, "--to", "mine"]) == 0
    assert classes(dataset, "mine") == {}
    assert cli.main(["ontology", "undo", name, "--to", "mine"]) == 2
