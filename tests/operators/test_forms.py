"""Every form without a person: defaults alone, every kind of wrong value, and collections that it cannot take."""

import time

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.plugin import NAME

JOBS = ("annotate", "evaluate", "export", "export_coco", "repaint")
WRONG = [
    ("annotate", {"preset": "ssa-ade20"}, "preset must be one of mini-ssa"),
    ("annotate", {"preset": [1]}, "preset must be one of"),
    ("annotate", {"preset": "own TOML file"}, "name a TOML file"),
    ("annotate", {"preset": "own TOML file", "preset_file": 5}, "preset_file must be text, got 5"),
    ("annotate", {"preset": "own TOML file", "preset_file": "/no.toml"}, "does not exist"),
    ("annotate", {"masks": "nowhere"}, "masks must be one of preset, sam, json, ssa, got 'nowhere'"),
    ("annotate", {"masks": ["sam"]}, "masks must be one of"),
    ("annotate", {"masks": "json"}, "masks would be read from the .json beside each image"),
    ("annotate", {"masks_field": "ground_truth"}, "masks must be one of preset, sam, json, ssa, got 'ground_truth'"),
    ("annotate", {"vote": "hrad"}, "vote must be one of preset, auto, hard, soft, core, got 'hrad'"),
    ("annotate", {"preset": "mini-engine", "vocabulary": ["cat"]}, "vocabulary must be text, got ['cat']"),
    (
        "annotate",
        {"preset": "mini-engine", "vocabulary": "cat", "only_vocabulary": "no"},
        "only_vocabulary must be true or false, got 'no'",
    ),
    ("annotate", {"preset": "mini-engine", "keep_embeddings": 1}, "keep_embeddings must be true or false, got 1"),
    ("annotate", {"label_field": "my field"}, "must be letters, digits and underscores"),
    ("annotate", {"label_field": "a" * 61}, "label_field must be a name of at most 60 letters"),
    ("annotate", {"label_field": 7}, "label_field must be text, got 7"),
    ("annotate", {"label_field": "filepath"}, "exists and is no Detections"),
    ("annotate", {}, "holds Detections that SSA did not make"),
    ("annotate", {"label_field": "new", "device": "gpu"}, "device must be auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
    ("annotate", {"label_field": "new", "device": 0}, "device must be text, got 0"),
    ("annotate", {"label_field": "new", "try_first": "yes"}, "try_first must be true or false"),
    ("annotate", {"overwrite": "yes"}, "overwrite must be true or false"),
    ("annotate", {"label_field": "new", "overwrite": 0}, "overwrite must be true or false, got 0"),
    ("annotate", {"overwrite": True, "masks": "ssa", "everything": True}, "cannot be undone"),
    ("annotate", {"batch_size": 0}, "batch_size must be a whole number from 1 to 65536, got 0"),
    ("annotate", {"batch_size": "four"}, "batch_size must be a whole number from 1 to 65536, got 'four'"),
    ("annotate", {"dtype": "int8"}, "dtype must be one of auto, float32, bfloat16, float16, got 'int8'"),
    ("annotate", {"semantic_field": "ssa"}, "semantic_field must be one of ground_truth, ssa_semantic, got 'ssa'"),
    ("annotate", {"keep_branch": 1}, "keep_branch must be true or false"),
    ("annotate", {"overrides": "masks.points_per_sid=3"}, "did you mean 'points_per_side'?"),
    ("annotate", {"overrides": ["a"]}, "overrides must be text"),
    ("evaluate", {"pred_field": "ssa"}, "pred_field must be one of ground_truth, ssa_semantic, got 'ssa'"),
    ("evaluate", {"gt_field": ["ground_truth"]}, "gt_field must be one of"),
    ("evaluate", {"gt_field": []}, "gt_field must be one of ground_truth, ssa_semantic, got []"),
    ("evaluate", {"gt_field": "ssa_semantic", "pred_field": "ssa_semantic"}, "are the same field"),
    ("evaluate", {"eval_key": "my run"}, "must be letters, digits and underscores"),
    ("evaluate", {"eval_key": 3}, "eval_key must be text, got 3"),
    ("evaluate", {"eval_key": "a" * 61}, "letters, digits and underscores, at most 60"),
    ("evaluate", {"only_annotated": "no"}, "only_annotated must be true or false, got 'no'"),
    ("export", {"label_field": "ssa_semantic"}, "label_field must be one of ssa, got 'ssa_semantic'"),
    ("export", {"format": "voc"}, "cvat, got 'voc'"),
    ("export", {"export_media": "move"}, "export_media must be one of copy, symlink, none, got 'move'"),
    ("export", {"export_dir": "out"}, "the folder must be an absolute path, got 'out'"),
    ("export", {"export_dir": 5}, "export_dir must be text, got 5"),
    ("export", {"export_dir": "/bin"}, "holds files that are no COCO export"),
    ("export", {"overwrite": None, "export_dir": "~nobody-of-this-name/x"}, "no such user"),
    ("export_coco", {"overwrite": "yes"}, "overwrite must be true or false, got 'yes'"),
    ("repaint", {"label_field": "sky"}, "label_field must be one of ssa, got 'sky'"),
    ("repaint", {"preset": "engine-base"}, "preset must be one of mini-ssa"),
    ("repaint", {"preset": "mini-ssa", "device": "tpu"}, "device must be auto, cpu, cuda, cuda:N or mps, got 'tpu'"),
    ("repaint", {"device": "tpu"}, "device must be auto, cpu, cuda, cuda:N or mps, got 'tpu'"),
    ("load_dataset", {}, "name the folder that holds the images"),
    ("load_dataset", {"folder": "here"}, "must be the absolute path of a folder, got 'here'"),
    ("load_dataset", {"folder": ["/tmp"]}, "folder must be text, got ['/tmp']"),
    ("load_dataset", {"folder": "/tmp", "kind": "VOC"}, "kind must be one of Images, SA-1B"),
    ("load_dataset", {"folder": "/tmp", "kind": 0}, "kind must be one of Images, SA-1B"),
    ("load_dataset", {"folder": "/tmp", "name": "?!"}, "a dataset's name must hold Latin letters or digits"),
    ("load_dataset", {"folder": "/tmp", "name": "a" * 9999}, "a dataset's name must hold Latin letters or digits"),
    ("load_dataset", {"folder": "/tmp", "name": 4}, "name must be text, got 4"),
    ("load_dataset", {"folder": "/tmp", "max_samples": -1}, "max_samples must be a whole number from 1 on, got -1"),
    ("load_dataset", {"folder": "/tmp", "max_samples": True}, "max_samples must be a whole number from 1 on, got True"),
]


@pytest.fixture(scope="module")
def dataset(registry):
    """Three images with a mask that someone drew, its class map, and the truth."""
    dataset = fo.Dataset()
    dataset.add_samples(fo.Sample(filepath=f"/images/{index}.png") for index in range(3))
    mask = fo.Detection(label="dog", bounding_box=[0, 0, 0.5, 1], mask=np.ones((2, 2), bool))
    dataset.set_values("ssa", [fo.Detections(detections=[mask.copy()]) for _ in range(3)])
    for field in ("ground_truth", "ssa_semantic"):
        dataset.set_values(field, [fo.Segmentation(mask=np.ones((2, 4), np.uint8)) for _ in range(3)])
    dataset.default_mask_targets = {1: "cat", 2: "dog"}
    dataset.save()
    yield dataset
    dataset.delete()


def sentences(fields):
    """What a form, as the App gets it, says is wrong."""
    return [field["error_message"] for field in fields.values() if field["invalid"]]


def refused(registry, job, samples, params):
    """The sentence with which `execute` itself refuses, past FiftyOne's own check of the form."""
    request = {"params": params}
    if samples is not None:
        request |= {"dataset_name": samples._root_dataset.name, "view": samples.view()._serialize()}
    context = foo.ExecutionContext(request, executor=foo.executor.Executor(), operator_uri=f"{NAME}/{job}")
    with context, pytest.raises(InputError) as error:
        registry.get_operator(f"{NAME}/{job}").execute(context)
    return str(error.value)


def test_wrong_values_are_one_sentence_in_the_form_and_the_same_in_the_run(registry, form, dataset):
    for job, params, expected in WRONG:
        samples = dataset if job != "load_dataset" else None
        told = sentences(form(job, samples, **params))
        assert expected in told[0], (job, params, told)
        assert refused(registry, job, samples, params) == told[0], (job, params)
        with pytest.raises(ExecutionError, match="Reason: ") as error:
            foo.execute_operator(f"{NAME}/{job}", {"dataset": samples}, params=params)
        assert told[0] in str(error.value), (job, params)


@pytest.mark.parametrize("job", JOBS)
def test_without_a_dataset_one_sentence_stands_alone(registry, form, job):
    fields = form(job, None)
    assert list(fields) == ["refusal"]
    assert "no dataset is open" in sentences(fields)[0]
    assert refused(registry, job, None, {}) == sentences(fields)[0]


@pytest.mark.parametrize("job", JOBS)
def test_collections_that_a_job_cannot_take_are_refused_in_one_sentence(registry, form, dataset, job):
    video, empty, groups = fo.Dataset(), fo.Dataset(), fo.Dataset()
    video.add_sample(fo.Sample(filepath="/videos/1.mp4"))
    groups.add_group_field("group", default="left")
    groups.add_sample(fo.Sample(filepath="/images/1.png", group=fo.Group().element("left")))
    try:
        for samples in (video, empty, groups, dataset.to_patches("ssa")):
            told = sentences(form(job, samples))
            assert len(told) == 1, (job, samples)
            assert refused(registry, job, samples, {}) == told[0]
        assert "got groups of them; choose one slice with the view stage" in sentences(form(job, groups))[0]
    finally:
        for made in (video, empty, groups):
            made.delete()


def test_of_groups_a_job_takes_the_slice_that_the_app_shows(registry, dataset):
    groups = fo.Dataset()
    groups.add_group_field("group", default="left")
    for number, sample in enumerate(dataset):
        masks = sample.ssa.copy()
        slices = ("left", "right") if number == 0 else ("left",)
        group = fo.Group()
        groups.add_samples(fo.Sample(sample.filepath, ssa=masks.copy(), group=group.element(s)) for s in slices)
    operator = registry.get_operator(f"{NAME}/levels")
    try:
        for shown, images in (("left", "3 images"), ("right", "1 image")):
            request = {"dataset_name": groups.name, "group_slice": shown, "view": [], "params": {}}
            with foo.ExecutionContext(request, executor=foo.executor.Executor(), operator_uri=operator.uri) as context:
                fields = operator.resolve_type(context, "inputs").to_json()["type"]["properties"]
                assert fields["amount"]["view"]["label"] == f"The masks of {images} will be sorted."
                told = str(fields["view_target"])
                assert f"{images} in the current slice ({shown})" in told or "images in" not in told  # FiftyOne 1.14
                assert images in operator.execute(context)["message"]
    finally:
        groups.delete()


@pytest.mark.parametrize("job", ["evaluate", "export", "repaint"])
def test_an_emptied_field_is_its_default(registry, form, dataset, job):
    emptied = dict.fromkeys(("format", "export_media", "pred_field", "gt_field", "eval_key", "label_field"), "")
    assert sentences(form(job, dataset, **emptied)) == []
    twin = dataset.clone()
    try:
        foo.execute_operator(f"{NAME}/{job}", {"dataset": twin}, params=emptied)
    finally:
        twin.delete()


@pytest.mark.parametrize("job", ["evaluate", "export", "repaint"])
def test_defaults_fit_the_dataset(form, dataset, job):
    fields = form(job, dataset)
    assert sentences(fields) == []
    chosen = {name: fields[name]["default"] for name in ("pred_field", "gt_field", "label_field") if name in fields}
    fits = {"pred_field": "ssa_semantic", "gt_field": "ground_truth", "label_field": "ssa"}
    assert chosen == {name: fits[name] for name in chosen}


def test_the_target_says_how_many_images_each_choice_has(form, dataset):
    view = dataset.limit(2)
    choices = {c["value"]: c["description"] for c in form("annotate", view)["view_target"]["view"]["choices"]}
    assert choices["DATASET"] == "3 images"
    assert choices["CURRENT_VIEW"] == "2 images"


def test_a_form_is_quick_while_one_types(form, dataset):
    form("annotate", dataset, label_field="new")
    started = time.process_time()
    for _ in range(3):
        form("annotate", dataset, label_field="new")
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize("job", ["annotate", "evaluate", "export", "repaint", "review", "relabel", "show_doubtful"])
def test_a_dataset_or_field_that_somebody_took_away_is_told(registry, dataset, job):
    clone = dataset.clone()
    view = clone.filter_labels("ssa", fo.ViewField("label") == "dog")
    request = {"dataset_name": clone.name, "view": view._serialize(), "params": {}}
    for take in (lambda: clone.delete_sample_field("ssa"), clone.delete):
        take()
        context = foo.ExecutionContext(dict(request), executor=foo.executor.Executor(), operator_uri=f"{NAME}/{job}")
        with context:
            fields = registry.get_operator(f"{NAME}/{job}").resolve_input(context).type.properties
            told = [field.error_message for field in fields.values() if field.invalid]
            assert len(told) == 1
            assert "what the App shows is no longer there" in told[0]
            with pytest.raises(InputError, match="is no longer there"):
                registry.get_operator(f"{NAME}/{job}").execute(context)


def test_a_dataset_that_is_gone_hinders_no_loading(registry, dataset, tmp_path):
    request = {"dataset_name": "gone", "params": {"folder": str(tmp_path)}}
    context = foo.ExecutionContext(request, executor=foo.executor.Executor(), operator_uri=f"{NAME}/load_dataset")
    with context, pytest.raises(InputError, match="no image in"):
        registry.get_operator(f"{NAME}/load_dataset").execute(context)
