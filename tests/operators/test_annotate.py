"""`annotate` from the App: its form tells what is wrong, and the published answers come out."""

from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.folders.evaluate import read_class_map
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/annotate"


@pytest.fixture
def preset(parity, tmp_path):
    """The parity preset as a user's own TOML file."""
    path = tmp_path / "own.toml"
    path.write_text(
        f'[masks]\nsource = "existing"\n[semantic]\nmodel = "{(parity / "models/segformer-ade20k").as_posix()}"\n'
    )
    return str(path)


def assert_published(dataset, parity):
    for sample in dataset:
        stem = sample.filename.removesuffix(".png")
        values = sample["ssa_semantic"].get_mask()
        expected = read_class_map(parity / f"expected/ssa-ade20k/{stem}_semantic.json", 150, values.shape)
        np.testing.assert_array_equal(values, expected + np.uint8(1))


def test_runs_at_once_with_the_users_own_preset(registry, photographs, preset, parity):
    view = photographs.match_tags("none").concat(photographs)
    result = registry.get_operator(URI)(view, preset, device="cpu", batch_size=2)
    assert result.result["message"].startswith("3 images, ")
    photographs.reload()
    assert_published(photographs, parity)
    again = registry.get_operator(URI)(photographs, preset, device="cpu")
    assert again.result["message"].endswith("3 already done")


def test_runs_delegated_and_reports_progress(registry, photographs, preset):
    queued = registry.get_operator(URI)(photographs.limit(1), preset, device="cpu", delegate=True)
    assert queued.delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(dataset_name=photographs.name)
    (done,) = service.list_operations(dataset_name=photographs.name)
    assert done.run_state == "completed", done.result
    assert done.result.result["message"].startswith("1 image, ")
    photographs.reload()
    assert photographs.exists("ssa").count() == 1


def test_form_lists_presets_and_fields_and_changes_nothing(form, photographs):
    fields = form("annotate", photographs)
    assert [choice["value"] for choice in fields["preset"]["view"]["choices"]][-2:] == [
        "ssa-foggy-driving",
        "own TOML file",
    ]
    assert "view_target" in fields
    assert not [name for name, field in fields.items() if field["invalid"]]
    assert "ssa" not in photographs.get_field_schema()


@pytest.mark.parametrize(
    ("field", "params", "message"),
    [
        ("overrides", {"overrides": "masks.points_per_sid=3"}, "did you mean 'points_per_side'?"),
        ("overrides", {"overrides": "semantic.vote=hrad"}, "did you mean 'hard'?"),
        ("overrides", {"overrides": "semantic"}, "must read section.key=value"),
        (
            "overrides",
            {"overrides": "masks=3"},
            "section masks must be a table of settings, got 3; write masks.key=value",
        ),
        ("overrides", {"overrides": "semantic.ontology=/no.toml"}, "/no.toml"),
        (
            "overrides",
            {"preset": "mini-engine", "overrides": "vocabulary=a, b"},
            "you mean open_vocabulary.vocabulary?",
        ),
        ("vocabulary", {"preset": "mini-engine", "vocabulary": "cat\x07"}, "which has control characters"),
        ("still_to_give", {"preset": "own TOML file"}, "name a TOML file"),
        ("preset_file", {"preset": "own TOML file", "preset_file": "/no.toml"}, "does not exist"),
        ("label_field", {"label_field": "my field"}, "must be letters, digits and underscores"),
        ("label_field", {"label_field": "filepath"}, "exists and is no Detections"),
        ("device", {"device": "gpu"}, "must be auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_form_tells_what_is_wrong_with_a_value(form, photographs, field, params, message):
    fields = form("annotate", photographs, **params)
    assert fields[field]["invalid"]
    assert message in fields[field]["error_message"]
    assert [name for name, entry in fields.items() if entry["invalid"]] == [field]


@pytest.fixture
def labelled(photographs, preset):
    """The photographs, named with the user's own preset."""
    annotate(photographs, preset, device="cpu")
    return photographs


def test_form_refuses_a_field_with_results_of_other_settings_while_one_types(form, labelled, preset):
    own = {"preset": "own TOML file", "preset_file": preset}
    assert not form("annotate", labelled, **own)["label_field"]["invalid"]
    other = {**own, "overrides": "semantic.vote=soft"}
    field = form("annotate", labelled, **other)["label_field"]
    assert field["invalid"]
    assert "holds results of other settings (3 samples, preset own; different: semantic.vote)" in field["error_message"]
    field = form("annotate", labelled, **other, app={"extended": {}})["label_field"]
    redo = "choose another 'Label field', or redo them (tick 'Redo images that are done'), which keeps what people"
    assert redo in field["error_message"]  # the form's own words, not Python's
    assert not form("annotate", labelled, **other, overwrite=True)["label_field"]["invalid"]
    assert not form("annotate", labelled, **other, label_field="another")["label_field"]["invalid"]


def test_form_refuses_masks_of_someone_else_unless_they_are_to_be_named(form, photographs, preset):
    photographs.set_values("mine", [fo.Detections(detections=[fo.Detection(label="cat")])] * 3)
    own = {"preset": "own TOML file", "preset_file": preset, "label_field": "mine"}
    field = form("annotate", photographs, **own)["label_field"]
    assert "Detections that SSA did not make" in field["error_message"]
    field = form("annotate", photographs, **own, app={"extended": {}})["label_field"]
    assert field["error_message"].endswith("or name them in place with 'mine' under 'Masks'")
    assert not form("annotate", photographs, **own, masks_field="mine")["label_field"]["invalid"]


def test_form_asks_twice_before_it_drops_what_people_touched(form, registry, labelled, preset):
    own = {"preset": "own TOML file", "preset_file": preset}
    assert "everything" not in form("annotate", labelled, **own)
    assert "everything_sure" not in form("annotate", labelled, **own, overwrite=True)
    asked = form("annotate", labelled, **own, overwrite=True, everything=True)["still_to_give"]
    assert asked["invalid"]
    assert "cannot be undone" in asked["error_message"]
    sure = {"overwrite": True, "everything": True, "everything_sure": True}
    assert not form("annotate", labelled, **own, **sure)["everything_sure"]["invalid"]
    with pytest.raises(ExecutionError, match="cannot be undone"):
        registry.get_operator(URI)(labelled, preset, device="cpu", overwrite=True, everything=True)
    detection = labelled.first().ssa.detections[0]
    labelled.set_label_values("ssa.detections.review", {detection.id: "rejected"})
    kept = registry.get_operator(URI)(labelled, preset, device="cpu", overwrite=True)
    assert "1 mask kept as people left them" in kept.result["message"]
    registry.get_operator(URI)(labelled, preset, device="cpu", overwrite="everything")
    labelled.reload()
    assert labelled.count("ssa.detections.review") == 0


def test_a_wrong_value_stops_the_run_with_its_sentence(registry, photographs):
    with pytest.raises(ExecutionError, match="device must be auto, cpu, cuda, cuda:N or mps"):
        registry.get_operator(URI)(photographs, device="gpu")


def test_the_proposed_preset_is_one_that_can_run(form, photographs):
    cards = form("annotate", photographs)["preset"]
    assert cards["default"] == "mini-ssa"
    about = {choice["value"]: choice for choice in cards["view"]["choices"]}
    assert about["mini-ssa"]["label"] == "mini-ssa (ready)"
    assert about["ssa-ade20k"]["label"] == "ssa-ade20k (not downloaded, 2.9 GB)"
    assert "SAM ViT-H, SegFormer B5, 726 M parameters." in about["ssa-ade20k"]["description"]


def test_presets_that_take_minutes_an_image_here_come_after_those_for_a_laptop():
    from fiftyone_ssa.models.hardware import Hardware
    from operators.preset_cards import preset_cards

    cards = {place: preset_cards(Hardware(place, 64.0, cores=2)) for place in ("CPU", "NVIDIA H100")}
    names = {place: [card.value for card in offered] for place, offered in cards.items()}
    told = {place: next(card for card in offered if card.value == "ssa-ade20k") for place, offered in cards.items()}
    assert "parameters. Memory 4.9 GB (estimate)." in told["CPU"].description
    assert "parameters. GPU memory 3.5 GB (estimate)." in told["NVIDIA H100"].description
    assert all(found[-1] == "own TOML file" for found in names.values())
    order = names["CPU"].index
    assert order("engine-fast") < order("ssa-fast") < order("ssa-ade20k") < order("engine-base")
    assert names["NVIDIA H100"].index("ssa-ade20k") < names["NVIDIA H100"].index("engine-fast")


def test_masks_come_from_where_they_are(form, photographs, tmp_path):
    photographs.set_values("drawn", [fo.Detections(detections=[fo.Detection(label="cat")])] * 3)
    masks = form("annotate", photographs, preset="engine-base", label_field="new")["masks"]
    assert [choice["value"] for choice in masks["view"]["choices"]] == ["preset", "sam", "json", "drawn"]
    assert masks["default"] == "preset"
    assert usual_masks(form, photographs, "engine-base").endswith("take them from the .json beside each image (SA-1B)")
    assert usual_masks(form, photographs, "mini-ssa").endswith("find them with SAM")
    (tmp_path / "bare.png").touch()
    bare = fo.Dataset()
    bare.add_sample(fo.Sample(filepath=str(tmp_path / "bare.png"), drawn=fo.Detections()))
    try:
        assert usual_masks(form, bare, "engine-base").endswith("take those of the field drawn")
    finally:
        bare.delete()


def usual_masks(form, samples, preset):
    """How the form words what a preset does without being told."""
    return form("annotate", samples, preset=preset)["masks"]["view"]["choices"][0]["label"]


def test_a_preset_of_ones_own_keeps_its_vote(form, photographs, preset):
    path = Path(preset)
    path.write_text(f'{path.read_text()}vote = "soft"\n')
    vote = form("annotate", photographs, preset="own TOML file", preset_file=preset)["vote"]
    assert (vote["default"], vote["view"]["choices"][0]["label"]) == ("preset", "As own does it: soft")


def test_names_of_ones_own_are_asked_for_where_they_count(form, photographs):
    ssa = form("annotate", photographs)
    assert "vote" in ssa
    assert "vocabulary" not in ssa
    assert "keep_embeddings" not in ssa
    engine = form("annotate", photographs, preset="mini-engine", vocabulary="cat")
    assert "vote" not in engine
    assert "only_vocabulary" in engine
    assert engine["keep_embeddings"]["default"] is False


def test_classes_that_a_segmenter_is_told_are_asked_for(form, photographs, preset):
    path = Path(preset)
    path.write_text(f'{path.read_text()}vocabulary = ["sky", "grass"]\n')
    given = {"preset": "own TOML file", "preset_file": preset}
    assert "vote" in form("annotate", photographs, **given)
    assert "vocabulary" in form("annotate", photographs, **given)


def test_names_of_masks_count_where_that_is_asked_for(form, photographs):
    assert "mask_names" not in form("annotate", photographs, more=True, masks="sam")
    assert "mask_names" in form("annotate", photographs, more=True, masks="json")


def test_what_few_need_is_folded_away_until_it_is_used(form, photographs):
    assert "dtype" not in form("annotate", photographs)
    assert "dtype" in form("annotate", photographs, more=True)
    assert "batch_size" in form("annotate", photographs, batch_size=2)


def test_only_names_of_ones_own_are_given(registry, photographs):
    names = {"vocabulary": "cat, a cup\n cat,", "only_vocabulary": True}
    registry.get_operator(URI)(photographs.limit(1), "mini-engine", masks="json", device="cpu", **names)
    photographs.reload()
    assert set(photographs.distinct("ssa.detections.label")) <= {"cat", "a cup"}
    assert photographs.count("ssa.detections.label") > 5


def test_a_trial_does_five_images_always_the_same_and_keeps_them_as_a_view(registry, parity, preset):
    dataset = fo.Dataset(persistent=True)
    paths = sorted((parity / "inputs").glob("*.png"))
    dataset.add_samples(fo.Sample(filepath=str(paths[index % len(paths)])) for index in range(8))
    try:
        result = registry.get_operator(URI)(dataset, preset, device="cpu", try_first=True)
        assert result.result["message"].startswith("5 images, ")
        assert result.result["message"].endswith("; they are the saved view 'try ssa'")
        dataset.reload()
        done = set(dataset.exists("ssa").values("id"))
        assert set(dataset.load_saved_view("try ssa").values("id")) == done
        again = registry.get_operator(URI)(dataset, preset, device="cpu", try_first=True)
        assert "5 already done" in again.result["message"]
    finally:
        dataset.delete()


def test_the_form_says_what_is_there_and_what_becomes_of_it(form, labelled, preset):
    own = {"preset": "own TOML file", "preset_file": preset}
    summary = form("annotate", labelled, **own)["summary"]["view"]["label"]
    assert "(preset own in 3 images). 3 images done with these settings: skipped." in summary
    redone = form("annotate", labelled, **own, overwrite=True)["summary"]["view"]["label"]
    assert "All 3 images are redone. How long that takes is not known for these models." in redone
    small = form("annotate", labelled, preset="mini-ssa", label_field="new")["summary"]["view"]["label"]
    assert small.startswith("new holds nothing yet: 3 images will be named. About ")
    assert " an image, roughly, on " in small


@pytest.mark.parametrize(
    ("preset", "change", "says"),
    [
        (
            "mini-engine",
            "open_vocabulary.captioner={models}/segformer-ade20k",
            "is a SegformerForSemanticSegmentation, which goes into semantic.model or open_vocabulary.segmenters, not",
        ),
        ("mini-engine", 'open_vocabulary.segmenters=["{models}/blip"]', "not into open_vocabulary.segmenters; name"),
        ("mini-ssa", "semantic.model={models}/clipseg", None),
        (
            "mini-engine",
            "open_vocabulary.vocabulary=dog",
            "or the names themselves, a comma or a line break after each",
        ),
        ("mini-engine", "open_vocabulary.vocabulary=dog, cat", None),
        ("mini-ssa", "semantic.vocabulary=dog, cat", "has classes of its own; leave semantic.vocabulary out"),
        ("mini-ssa", "semantic.model={models}/clipseg\nsemantic.vocabulary=dog, cat", None),
    ],
)
def test_the_form_refuses_files_that_do_not_fit(form, photographs, parity, preset, change, says):
    change = change.format(models=parity / "models")
    fields = form("annotate", photographs, preset=preset, masks="sam", overrides=change)
    assert fields["overrides"]["invalid"] == (says is not None)  # under the box that it was typed into
    assert says is None or says in fields["overrides"]["error_message"]
    assert "refusal" not in fields


def test_the_form_refuses_files_of_a_preset_of_ones_own(form, photographs, parity, preset):
    Path(preset).write_text(Path(preset).read_text().replace("segformer-ade20k", "blip"))
    fields = form("annotate", photographs, preset="own TOML file", preset_file=preset)
    assert "BlipForConditionalGeneration" in fields["refusal"]["error_message"]


def test_a_preset_without_a_segmenter_asks_for_the_class_map(form, photographs, tmp_path):
    own = tmp_path / "field.toml"
    own.write_text('[masks]\nsource = "existing"\n[semantic]\nsource = "field"\n')
    fields = form("annotate", photographs, preset="own TOML file", preset_file=str(own))
    assert "semantic_field" in fields
    assert "choose the class map" in fields["still_to_give"]["error_message"]


def test_a_refusal_calls_a_field_as_the_form_does(form, photographs):
    given = {"batch_size": 0, "app": {"extended": {}}}
    assert form("annotate", photographs, **given)["batch_size"]["error_message"].startswith("'Images at a time' must")


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ("open_vocabulary.decider=/no/such", "absent", "Not there, or without weights: /no/such"),
        ("open_vocabulary.class_filter=ViT-L-14-quickgelu:/no/such.bin", "absent", "weights: /no/such.bin"),
        ("open_vocabulary.decider=who/knows", "missing", "these are not downloaded: who/knows"),
        ("open_vocabulary.decider=no id at all", "missing", "these are not downloaded: no id at all"),
    ],
)
def test_the_form_tells_which_model_is_not_here(form, photographs, monkeypatch, change, name, says):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fields = form("annotate", photographs, preset="mini-engine", masks="sam", overrides=change)
    assert says in fields[name]["view"]["label"]
