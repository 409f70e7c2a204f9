"""`show_doubtful` and `show_confusions`: with defaults only, and with each bad parameter."""

import re

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.curation.confusions import confuses
from fiftyone_ssa.curation.opened import confused, doubtful
from fiftyone_ssa.labels.doubt import is_doubtful
from fiftyone_ssa.plugin import NAME


def mask(label, runner_up, margin, **more):
    scores = [0.5 + margin / 2, 0.5 - margin / 2]
    about = {"class_name": label, "class_proposals": [label, runner_up], "proposal_scores": scores}
    about |= {"bounding_box": [0.1, 0.1, 0.5, 0.5], "confidence": scores[0], "vote_margin": margin}
    return fo.Detection(label=label, **about | more)


@pytest.fixture
def dataset():
    dataset = fo.Dataset()
    rows = [
        [
            mask("sky", "sea", 0.02, area=9, vote_share=0.2, confidence=0.2),
            mask("sky", "sea", 0.9),
            mask("tree", "bush", 0.1),
        ],
        [mask("sea", "sky", 0.05), mask("wall", "house", 0.8), mask("wall", "house", 0.01, review="accepted")],
    ]
    dataset.add_samples(
        [fo.Sample(filepath=f"/{i}.png", ssa=fo.Detections(detections=row)) for i, row in enumerate(rows)], dynamic=True
    )
    yield dataset
    dataset.delete()


def run(job, samples, **params):
    context = {"dataset": samples._root_dataset, "view": samples.view()} if samples is not None else {}
    return foo.execute_operator(f"{NAME}/{job}", context, params=params).result


def labels_of(view):
    return sorted(view.values("ssa.detections.label", unwind=True))


def test_defaults_alone(registry, dataset):
    found = run("show_doubtful", dataset)
    assert found["masks"] == dataset.filter_labels("ssa", is_doubtful()).count("ssa.detections") > 0
    found = run("show_confusions", dataset)
    assert found["masks"] == dataset.filter_labels("ssa", confuses("sky", "sea")).count("ssa.detections") == 2
    assert found["message"] == "2 masks of 'ssa'"


@pytest.mark.parametrize("job", ["show_doubtful", "show_confusions"])
def test_the_field_that_the_app_shows_is_the_one_that_is_meant(form, dataset, job):
    dataset.clone_sample_field("ssa", "engine")
    assert form(job, dataset)["label_field"]["default"] == "ssa"
    assert form(job, dataset, active_fields=["filepath", "engine"])["label_field"]["default"] == "engine"


@pytest.mark.parametrize("job", ["show_doubtful", "show_confusions"])
def test_patches_show_as_many(registry, dataset, job):
    assert run(job, dataset.to_patches("ssa"))["masks"] == run(job, dataset)["masks"] > 0


def test_the_most_doubtful_as_patches_come_first(dataset):
    view = doubtful(dataset, at_most=3, patches=True)
    assert [patch.ssa.vote_margin for patch in view] == [0.02, 0.05, 0.1]
    assert labels_of(doubtful(dataset, at_most=3)) == ["sea", "sky", "tree"]


def test_names_that_are_confused(dataset):
    assert labels_of(confused(dataset)) == labels_of(confused(dataset, "sea", "sky")) == ["sea", "sky"]
    assert labels_of(confused(dataset, "tree")) == ["tree"]
    assert labels_of(confused(dataset, "tree", close=0.05)) == []
    assert len(confused(dataset, "sky", patches=True)) == 2


def test_what_the_app_shows_counts(registry, dataset):
    view = dataset.filter_labels("ssa", F("label") == "sea")
    assert run("show_confusions", view, name="sky")["masks"] == 1
    assert run("show_confusions", view, name="tree") == {"masks": 0, "message": "There is no such mask in this view"}


@pytest.mark.parametrize(
    ("job", "params", "sentence"),
    [
        ("show_doubtful", {"label_field": "nothing"}, "label_field must be"),
        ("show_doubtful", {"at_most": 0}, "at_most must be a whole number from 1 on, got 0"),
        ("show_doubtful", {"at_most": "many"}, "at_most must be a whole number from 1 on, got 'many'"),
        ("show_doubtful", {"patches": "yes"}, "patches must be"),
        ("show_confusions", {"label_field": 3}, "label_field must be"),
        ("show_confusions", {"name": 3}, "name must be"),
        ("show_confusions", {"other": "sky"}, "other is 'sky' and name is missing"),
        ("show_confusions", {"name": "sky", "other": "sky"}, "name and other are both 'sky'"),
        ("show_confusions", {"name": "sky", "other": ["sea"]}, "other must be"),
        ("show_confusions", {"close": 3}, "close must be a number from 0 to 1, got 3"),
        ("show_confusions", {"close": "near"}, "close must be a number from 0 to 1, got 'near'"),
        ("show_confusions", {"patches": 7}, "patches must be"),
    ],
)
def test_a_bad_parameter_is_a_sentence_in_the_form_and_in_a_run(form, dataset, job, params, sentence):
    told = [field["error_message"] for field in form(job, dataset, **params).values() if field["invalid"]]
    assert told[0].startswith(sentence)
    with pytest.raises(ExecutionError, match=re.escape(told[0])):
        run(job, dataset, **params)


@pytest.mark.parametrize("job", ["show_doubtful", "show_confusions"])
def test_nothing_open_and_no_masks(form, job):
    assert "no dataset is open" in form(job, None)["refusal"]["error_message"]
    with pytest.raises(ExecutionError, match="no dataset is open"):
        run(job, None)
    empty = fo.Dataset()
    with pytest.raises(ExecutionError, match="holds masks; annotate first"):
        run(job, empty)
    empty.delete()


def test_no_confusions_are_told(registry, dataset):
    view = dataset.filter_labels("ssa", F("label") == "wall").filter_labels("ssa", ~F("review").exists())
    with pytest.raises(ExecutionError, match="no two names are confused in 'ssa'"):
        run("show_confusions", view)


def test_pictures_of_masks_in_groups_are_those_of_the_slice_that_the_app_shows(registry, form):
    groups = fo.Dataset()
    groups.add_group_field("group", default="left")
    group = fo.Group()
    for name in ("left", "right"):
        masks = fo.Detections(
            detections=[mask("sky", "sea", 0.02, area=9, vote_share=0.2, confidence=0.2) for _ in name[3:]]
        )
        groups.add_sample(fo.Sample(filepath=f"/{name}.png", group=group.element(name), ssa=masks), dynamic=True)
    for name, count in (("left", "1 mask"), ("right", "2 masks")):
        app = {"group_slice": name}
        assert form("show_doubtful", groups, patches=True, app=app)["preview"]["view"]["label"] == f"{count} of 'ssa'"
    shown = {"dataset_name": groups.name, "view": [], "params": {"patches": True}, "group_slice": "right"}
    with foo.ExecutionContext(shown, executor=foo.executor.Executor()) as context:
        assert registry.get_operator(f"{NAME}/show_doubtful").execute(context)["masks"] == 2
    told = "a view of patches takes images, got groups of them; choose one slice"  # Python has no slice that is shown
    with pytest.raises(ExecutionError, match=told):
        run("show_doubtful", groups, patches=True)
    groups.delete()
