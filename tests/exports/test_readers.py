"""Readers that others wrote take our files, and score them 1.0 against themselves."""

import contextlib
import io
import json
from importlib.metadata import version
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.labels.documents import mask_set_from_detections
from fiftyone_ssa.layouts import cityscapes
from fiftyone_ssa.masks import rle

from .round_trip import add, hard_masks

SIZE = (90, 123)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three images of hard masks, three times as large so that every mask counts in an evaluation by size."""
    root = tmp_path_factory.mktemp("readers")
    dataset = fo.Dataset()
    labels = [cityscapes.NAMES[11 + row % 4] for row in range(9)]
    for number in range(3):
        masks = [mask.repeat(3, 0).repeat(3, 1) for mask in hard_masks()]
        add(dataset, root / f"in/{number}.png", masks[: 9 - number], labels[: 9 - number])
    yield dataset
    dataset.delete()


def exported(dataset, folder, name, **options):
    ssa.export(dataset, folder, format=name, label_field="m", fail_on_loss=True, **options)
    return folder


def stored(dataset):
    """The masks of each image by its file's name."""
    return {
        sample.filename: [rle.decode(code, SIZE) for code in mask_set_from_detections(sample.m, SIZE).rles]
        for sample in dataset
    }


def silently(call, *arguments):
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*arguments)


def test_pycocotools_scores_coco_1_against_itself(dataset, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    folder = exported(dataset, tmp_path / "coco", "coco")
    truth = silently(COCO, str(folder / "labels.json"))
    results = [
        {key: annotation[key] for key in ("image_id", "category_id", "segmentation", "score")}
        for annotation in truth.anns.values()
    ]
    for kind in ("segm", "bbox"):
        scored = COCOeval(truth, silently(truth.loadRes, [dict(row) for row in results]), kind)
        for step in (scored.evaluate, scored.accumulate, scored.summarize):
            silently(step)
        assert scored.stats[0] == pytest.approx(1.0)


def test_torchvision_reads_coco(dataset, tmp_path):
    from torchvision.datasets import CocoDetection

    folder = exported(dataset, tmp_path / "coco", "coco")
    read = silently(CocoDetection, str(folder / "data"), str(folder / "labels.json"))
    assert len(read) == 3
    for number, (picture, annotations) in enumerate(read):
        masks = stored(dataset)[read.coco.imgs[read.ids[number]]["file_name"]]
        assert picture.size == SIZE[::-1]
        assert all((read.coco.annToMask(row) == mask).all() for row, mask in zip(annotations, masks, strict=True))


def test_supervision_reads_coco(dataset, tmp_path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    if version("supervision").startswith("0.25."):
        pytest.skip("supervision 0.25 reads the run-length codes of crowds alone")
    folder = exported(dataset, tmp_path / "coco", "coco")
    read = supervision.DetectionDataset.from_coco(str(folder / "data"), str(folder / "labels.json"), force_masks=True)
    assert len(read) == 3
    assert set(read.classes) == {cityscapes.NAMES[11 + row] for row in range(4)}
    for path, _, detections in read:
        masks = stored(dataset)[path.rpartition("/")[2]]
        assert (np.asarray(detections.mask) == np.array(masks)).all()


def test_fiftyones_own_importer_reads_coco(dataset, tmp_path):
    folder = exported(dataset, tmp_path / "coco", "coco", splits={"train": 2, "val": 1})
    back = fo.Dataset.from_dir(
        dataset_dir=str(folder / "train"), dataset_type=fo.types.COCODetectionDataset, label_types="segmentations"
    )
    try:
        assert back.count() == 2
        for sample in back:
            field = next(iter(back.get_field_schema(embedded_doc_type=fo.Detections)))
            masks = mask_set_from_detections(sample[field], SIZE).rles
            assert sorted(masks) == sorted(rle.encode(mask) for mask in stored(dataset)[sample.filename])
    finally:
        back.delete()


@pytest.mark.parametrize("exhaustive", [True, False])
def test_lvis_scores_1_against_itself(dataset, tmp_path, monkeypatch, exhaustive):
    lvis = pytest.importorskip("lvis", reason="lvis is not installed")
    monkeypatch.setattr(np, "float", float, raising=False)  # lvis 0.5.3 asks for what numpy 1.24 took out
    folder = exported(dataset, tmp_path / "lvis", "lvis", exhaustive=exhaustive)
    truth = lvis.LVIS(str(folder / "labels.json"))
    results = [
        {key: annotation[key] for key in ("image_id", "category_id", "segmentation", "score")}
        for annotation in truth.anns.values()
    ]
    scored = lvis.LVISEval(truth, lvis.LVISResults(truth, results), "segm")
    scored.run()
    assert scored.get_results()["AP"] == pytest.approx(1.0)
    assert scored.get_results()["APr"] == pytest.approx(1.0)


def panoptic_result(folder, module):
    """PQ of a panoptic export against itself, by the functions that panopticapi and cityscapesscripts share."""
    content = json.loads((folder / "panoptic.json").read_text())
    categories = {entry["id"]: entry for entry in content["categories"]}
    pairs = [(row, row) for row in content["annotations"]]
    segments = str(folder / "panoptic")
    found = silently(module.pq_compute_single_core, 0, pairs, segments, segments, categories)
    return found.pq_average(categories, isthing=None)[0]


def test_panopticapi_scores_1_against_itself(dataset, tmp_path):
    module = pytest.importorskip("panopticapi.evaluation", reason="panopticapi is on no package index")
    result = panoptic_result(exported(dataset, tmp_path / "out", "coco-panoptic"), module)
    assert (result["pq"], result["n"]) == (1.0, 4)


def test_cityscapesscripts_scores_panoptic_1_against_itself(dataset, tmp_path):
    module = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPanopticSemanticLabeling", reason="cityscapesscripts is not installed"
    )
    result = panoptic_result(exported(dataset, tmp_path / "out", "coco-panoptic"), module)
    assert (result["pq"], result["n"]) == (1.0, 4)


def test_cityscapesscripts_scores_class_maps_1_against_themselves(dataset, tmp_path):
    evaluation = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling", reason="cityscapesscripts is not installed"
    )
    folder = exported(dataset, tmp_path / "out", "semantic-png", encoding="cityscapes")
    files = [str(path) for path in sorted(folder.glob("gtFine/train/*/*_gtFine_labelIds.png"))]
    assert len(files) == 3
    evaluation.args.evalInstLevelScore, evaluation.args.JSONOutput, evaluation.args.quiet = False, False, True
    evaluation.args.evalLabels = []
    scores = silently(evaluation.evaluateImgLists, files, files, evaluation.args)
    assert scores["averageScoreClasses"] == 1.0
    ids = {entry.name: entry.trainId for entry in pytest.importorskip("cityscapesscripts.helpers.labels").labels}
    pixels = np.array(Image.open(files[0].replace("labelIds", "labelTrainIds")))
    for row, mask in enumerate(stored(dataset)["0.png"]):
        assert (pixels[mask] == ids[cityscapes.NAMES[11 + row % 4]]).all()


def test_fiftyones_own_importer_reads_class_maps(dataset, tmp_path):
    folder = exported(dataset, tmp_path / "out", "semantic-png")
    back = fo.Dataset.from_dir(
        dataset_dir=str(folder), dataset_type=fo.types.ImageSegmentationDirectory, label_field="m"
    )
    try:
        assert back.count("m") == 3
    finally:
        back.delete()


@pytest.mark.parametrize("media", ["copy", "none", "symlink"])
def test_datasets_loads_the_parquet_files(dataset, tmp_path, media, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = exported(dataset, tmp_path / "hf", "hugging-face", splits={"train": 2, "val": 1}, export_media=media)
    read = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in read.items()} == {"train": 2, "val": 1}
    names = read["train"].features["objects"].feature["category"].names
    for row in (*read["train"], *read["val"]):
        assert row["image"].size == SIZE[::-1]
        masks = stored(dataset)[row["file_name"]]
        for each, mask in zip(row["objects"], masks, strict=True):
            assert (rle.decode(each["segmentation"]["counts"].encode(), SIZE) == mask).all()
            assert names[each["category"]] in cityscapes.NAMES


def test_datasets_loads_what_is_there_now_and_writes_what_comes_back(dataset, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names, kept = {}, {"cache_dir": str(tmp_path / "cache")}
    for number, view in enumerate((dataset[:2], dataset[1:])):  # folders of one name, as a second export is
        folder = exported(view, tmp_path / f"{number}/hf", "hugging-face")
        names[number] = sorted(datasets.load_dataset(str(folder), **kept)["train"]["file_name"])
    assert names[0] != names[1] == sorted(Path(path).name for path in dataset[1:].values("filepath"))
    read = datasets.load_dataset(str(folder), **kept)["train"]
    read.filter(lambda row: True, load_from_cache_file=False).to_parquet(str(tmp_path / "own/data/train.parquet"))
    back = ssa.import_labels(
        tmp_path / "own", format="hugging-face", media_dir=tmp_path / "media", label_field="m"
    ).dataset
    try:
        assert {name: [mask.tolist() for mask in masks] for name, masks in stored(back).items()} == {
            name: [mask.tolist() for mask in masks] for name, masks in stored(dataset[1:]).items()
        }
        pictures = {Path(path).name: Path(path).read_bytes() for path in dataset.values("filepath")}
        assert all(Path(path).read_bytes() == pictures[Path(path).name] for path in back.values("filepath"))
    finally:
        back.delete()


def test_ssa_and_sa_1b_files_are_read_by_this_projects_own_commands(dataset, tmp_path):
    folder = exported(dataset, tmp_path / "sa1b", "sa1b-json")
    loaded = ssa.load_sa1b(folder, label_field="masks")
    try:
        assert loaded.count("masks.detections") == 24
    finally:
        loaded.delete()
    folder = exported(dataset, tmp_path / "ssa", "ssa-json")
    again = ssa.export(folder, tmp_path / "again", data_dir=folder / "data")
    assert (again.images, again.annotations) == (3, 24)
