"""Pictures in, names out: the same as the command's, whichever way they are sent and whoever else asks."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.presets import load_preset

from .conftest import QUICK, post


@pytest.fixture(scope="module")
def written(pictures, tmp_path_factory):
    """What `annotate` writes of the pictures, without its stamp."""
    folder = tmp_path_factory.mktemp("photos")
    for index, picture in enumerate(pictures):
        (folder / f"{index}.jpg").write_bytes(picture)
    out = folder / "out"
    annotate_files(folder, out, load_preset("mini-ssa", QUICK), device="cpu", progress=False)
    return [json.loads((out / f"{index}_semantic.json").read_text()) for index in range(len(pictures))]


def test_answer_is_what_the_command_writes(client, pictures, written):
    for picture, record in zip(pictures[:2], written, strict=False):
        answer = post(client, picture).json()
        assert answer["annotations"] == record["annotations"] != []
        assert answer["semantic_mask"] == record["semantic_mask"]
        assert answer["classes"] == record["classes"]


def test_requests_of_many_clients_share_batches_and_get_their_own_answers(address, client, pictures, written):
    with ThreadPoolExecutor(12) as threads:
        asked = list(range(6)) * 2
        answers = list(threads.map(lambda index: post(client, pictures[index]).json(), asked))
    for index, answer in zip(asked, answers, strict=True):
        assert answer["annotations"] == written[index]["annotations"]
    batches = {
        line.split('le="')[1].split('"')[0]: float(line.split()[-1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("ssa_batch_pictures_bucket")
    }
    assert batches["+Inf"] > batches["2.0"], "more than two pictures went through the models together"


def test_picture_as_the_body_with_wishes_in_the_query(client, pictures):
    answer = client.post("/label?format=coco", content=pictures[0], headers={"content-type": "image/jpeg"}).json()
    assert answer == post(client, pictures[0], name="image", format="coco").json()
    assert set(answer) == {"images", "annotations", "categories"}


def test_coco_is_read_by_pycocotools_and_says_the_same(client, pictures, tmp_path):
    from pycocotools.coco import COCO

    both = post(client, pictures[1], format="both").json()
    (tmp_path / "labels.json").write_text(json.dumps(both["coco"]))
    found = COCO(str(tmp_path / "labels.json"))
    masks = {row["segmentation"]["counts"]: row for row in both["ssa"]["annotations"]}
    assert len(found.anns) == len(masks)
    for annotation in found.anns.values():
        row = masks[annotation["segmentation"]["counts"]]
        assert found.cats[annotation["category_id"]]["name"] == row["class_name"]
        assert annotation["score"] == row["confidence"]
        assert annotation["area"] == found.annToMask(annotation).sum()


def test_masks_that_come_along_are_the_ones_that_are_named(client, pictures):
    mask = np.zeros((120, 160), np.uint8, order="F")
    mask[20:60, 30:90] = 1
    code = coco_mask.encode(mask)
    masks = {"annotations": [{"segmentation": {"size": [120, 160], "counts": code["counts"].decode()}, "id": 7}]}
    (row,) = post(client, pictures[0], masks=json.dumps(masks)).json()["annotations"]
    assert row["id"] == 7
    assert row["segmentation"] == masks["annotations"][0]["segmentation"]
    assert row["class_name"]


def test_an_image_turned_by_exif_is_answered_upright(client, pictures):
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.open(io.BytesIO(pictures[0])).save(buffer, "JPEG", exif=exif)
    assert post(client, buffer.getvalue(), format="coco").json()["images"][0]["width"] == 120


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"vocabulary": "sky"}, "knows the classes of its segmenter only"),
        ({"only": "true"}, "needs a `vocabulary`"),
        ({"only": "perhaps"}, "true or false"),
        ({"format": "xml"}, "ssa, coco, both"),
        ({"colour": "red"}, "field 'colour'"),
        ({"masks": "{"}, "masks is not a JSON file"),
        ({"masks": "{}"}, "masks must be"),
        ({"masks": "null"}, "masks must be"),
        ({"format": ["ssa", "coco"]}, "the field format 2 times"),
        ({"vocabulary": "a\0b"}, "no control characters"),
        ({"masks": '{"annotations": [{"segmentation": {"size": [3, 3], "counts": "0"}}]}'}, "size"),
        ({"masks": json.dumps({"annotations": [{}] * 5001})}, "at most 5,000"),
        ({"vocabulary": ",".join(map(str, range(1001)))}, "at most 1,000"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_in_a_sentence(client, pictures, form, words):
    answer = post(client, pictures[0], **form)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_openapi_says_what_label_takes_and_its_page_loads_nothing_from_elsewhere(client):
    told = client.get("/openapi.json").json()
    fields = told["paths"]["/label"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(fields) == {"image", "masks", "vocabulary", "only", "format"}
    for path in ("/", "/docs", "/static/page.js", "/static/docs.js", "/static/rle.js", "/static/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "https://" not in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]
