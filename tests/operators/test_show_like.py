"""`show_like` headless: with defaults only, with each bad parameter, and what it opens."""

import re

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.labels import embeddings, runs
from fiftyone_ssa.naming.stamp import Settings
from fiftyone_ssa.plugin import NAME
from fiftyone_ssa.presets import load_preset

URI = f"{NAME}/show_like"


@pytest.fixture
def dataset(tmp_path):
    """Two images of three masks each, whose vectors lie on a quarter of a circle, and a field without embeddings."""
    dataset = fo.Dataset(persistent=True)
    class_filter = load_preset("mini-engine").open_vocabulary.class_filter
    settings = Settings({"open_vocabulary.class_filter": "x"})
    token = runs.begin(dataset, "engine", "mini-engine", settings, tmp_path, False, class_filter)
    for image in range(2):
        rows = [fo.Detection(label=f"mask {image}{i}", bounding_box=[0, 0, 1, 1]) for i in range(3)]
        masks = fo.Detections(detections=rows)
        dataset.add_sample(fo.Sample(filepath=f"/{image}.png", engine=masks, other=masks.copy()), dynamic=True)
    embeddings.declare(dataset, "engine")
    for image, sample in enumerate(dataset):
        angles = [(image + 2 * i) / 6 * np.pi / 2 for i in range(3)]
        vectors = np.array([(np.cos(angle), np.sin(angle)) for angle in angles], np.float16)
        ids = [ObjectId(row.id) for row in sample.engine.detections]
        path = tmp_path / f"{sample.id}-{token}.npy"
        label = {"detections": [{"_id": identity} for identity in ids]}
        sample.engine["embeddings_path"] = embeddings.with_file(path, label, ids, vectors, None)["embeddings_path"]
        sample.save()
    yield dataset
    dataset.delete()


def run(dataset, **params):
    context = {"dataset": dataset, "view": dataset.view()} if dataset is not None else {}
    result = foo.execute_operator(URI, context, params=params)
    assert result.error is None
    return result.result


def ids_of(dataset):
    return dataset.values("engine.detections.id", unwind=True)


def refuses(dataset, message, **params):
    with pytest.raises(ExecutionError, match=re.escape(message)):
        run(dataset, **params)


def test_ids_alone_are_enough(registry, dataset):
    found = run(dataset, ids=ids_of(dataset)[:1])
    assert found["masks"] == 6
    assert found["message"].startswith("6 masks like this one (mask 00), nearest first (similarity 1.00 to ")
    assert run(dataset, ids=ids_of(dataset)[:2], k=3.0)["message"].startswith("3 masks like these 2")


def test_defaults_alone_say_what_to_do(registry, form, dataset):
    refuses(dataset, "select a mask or several")
    assert form("show_like", dataset)["still_to_give"]["error_message"].startswith("select a mask or several")
    refuses(None, "no dataset is open")


def test_without_an_index_it_says_how_to_make_one(registry, form, dataset):
    sentence = "no embeddings of the masks in 'other' are kept; name them anew with an engine preset"
    assert form("show_like", dataset, label_field="other")["label_field"]["error_message"].startswith(sentence)
    refuses(dataset, sentence, label_field="other", ids=ids_of(dataset)[:1])
    answer = run(dataset, label_field="other", ids=ids_of(dataset)[:1], dry_run=True)
    assert not answer["available"]
    assert answer["message"].startswith(sentence)
    assert run(dataset, ids=ids_of(dataset)[:1], dry_run=True) == {"available": True, "message": ""}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"text": 3}, "text must be text, got 3"),
        ({"text": "  "}, "text must say what to look for"),
        ({"label_field": "sky", "text": "dog"}, "label_field must be one of engine, other, got 'sky'"),
        ({"k": 0}, "k must be a whole number from 1"),
        ({"k": "many"}, "k must be a whole number from 1"),
        ({"k": 1_000_000}, "k must be a whole number from 1 to 10000"),
        ({"same_wrong_name": "yes"}, "same_wrong_name must be"),
        ({"same_wrong_name": True, "text": "dog"}, "words have no wrong name"),
        ({"ids": ["x"]}, "24 hex digits"),
        ({"ids": 3}, "ids must be a list of ids, got 3"),
        ({"ids": []}, "ids must be a list of ids of masks"),
        ({"ids": ["0" * 24], "text": "dog"}, "pass ids of masks or a text to look for"),
    ],
)
def test_each_bad_parameter_is_told_in_the_form_and_by_a_run(registry, form, dataset, params, message):
    every = {"ids": ids_of(dataset)[:1], **params} if "text" not in params else params
    fields = form("show_like", dataset, **every)
    (told,) = {field["error_message"] for field in fields.values() if field["invalid"]}
    assert message in told
    refuses(dataset, told, **every)


def test_what_is_selected_is_meant(registry, dataset):
    sample = dataset.first()
    chosen = [{"label_id": sample.engine.detections[1].id, "sample_id": sample.id, "field": "engine"}]
    result = foo.execute_operator(URI, {"dataset": dataset, "view": dataset.view(), "selected_labels": chosen})
    assert "like this one (mask 01)" in result.result["message"]
    patches = dataset.to_patches("engine")
    context = {"dataset": dataset, "view": patches, "selected": [sample.engine.detections[2].id]}
    assert "like this one (mask 02)" in foo.execute_operator(URI, context).result["message"]


def test_a_mask_that_is_gone_is_told(registry, dataset):
    refuses(dataset, "'engine' has no mask 000000000000000000000000", ids=["0" * 24])
