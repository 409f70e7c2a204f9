from __future__ import annotations

import shutil
import threading
from pathlib import Path

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa import export
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.labels import documents as labels
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.labels.clean import default_folder
from fiftyone_ssa.masks import rle
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import load_preset

SEGMENTER = Path(__file__).parents[1] / "user_segmenter.py"
SETTINGS = {"masks.source": "existing", "semantic.model": f"{SEGMENTER}:brightness"}
STEMS = ("chelsea", "coffee", "rocket")


def names_of(dataset: fo.Dataset, field: str) -> list[set[str]]:
    """The class names in each sample's map, by the dataset's mask targets."""
    targets = dataset.mask_targets[field]
    return [
        {targets[value] for value in np.unique(label.get_mask()).tolist() if value} for label in dataset.values(field)
    ]


@pytest.fixture
def photos(parity: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parity / "inputs", tmp_path / "my photos ü"))


@pytest.fixture
def dataset(photos: Path) -> fo.Dataset:
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(photos / f"{stem}.png")) for stem in STEMS])
    return dataset


def test_masks_are_named_and_class_maps_stored(dataset: fo.Dataset, photos: Path) -> None:
    summary = annotate(dataset, overrides=SETTINGS, keep_branch=True)
    assert (summary.done, summary.skipped, summary.errors) == (3, 0, {})
    assert summary.masks == dataset.count("ssa.detections")
    assert summary.unlabelled == len([name for name in dataset.values("ssa.detections.label", unwind=True) if not name])
    assert dataset.mask_targets["ssa_semantic"] == {1: "dark", 2: "middle", 3: "bright"}
    assert dataset.mask_targets["ssa_branch"] == {1: "dark", 2: "middle", 3: "bright"}
    for sample in dataset:
        image = np.asarray(PIL.Image.open(sample.filepath).convert("RGB"))
        np.testing.assert_array_equal(sample.ssa_branch.get_mask(), image.mean(axis=2) // 86 + 1)
        masks = labels.mask_set_from_detections(sample.ssa, image.shape[:2])
        source = read_json(Path(sample.filepath).with_suffix(".json"))["annotations"]
        assert [code.decode() for code in masks.rles] == [row["segmentation"]["counts"] for row in source]
        for detection, code in zip(sample.ssa.detections, masks.rles, strict=True):
            dense = rle.decode(code, image.shape[:2])
            if dense.any():
                winner = np.bincount(sample.ssa_branch.get_mask()[dense], minlength=4).argmax()
                assert detection.label == ("dark", "middle", "bright")[winner - 1]
                assert detection.class_proposals[0] == detection.label
                assert len(detection.class_proposals) == len(np.unique(sample.ssa_branch.get_mask()[dense]))
                assert detection.confidence <= detection.vote_share == detection.proposal_scores[0]
            else:
                assert detection.label is None
        run = sample.ssa_inputs.rpartition("|")[2]
        folder = default_folder(dataset) / "ssa_semantic"
        assert Path(sample.ssa_semantic.mask_path) == folder / f"{sample.id}-{run}.png"
    assert {f"ssa.detections.{name}" for name in labels.SSA_ATTRIBUTES} <= dataset.get_field_schema(flat=True).keys()


@pytest.mark.parametrize("preset", ["ssa-ade20k", "ssa-cityscapes"])
def test_database_holds_the_published_answer(dataset: fo.Dataset, parity: Path, preset: str) -> None:
    model = parity / "models" / preset.replace("ssa", "segformer")
    annotate(dataset, preset, overrides={"masks.source": "existing", "semantic.model": str(model)}, device="cpu")
    for sample in dataset:
        expected = read_json(parity / "expected" / preset / f"{Path(sample.filepath).stem}_semantic.json")
        values = sample.ssa_semantic.get_mask()
        masks = labels.mask_set_from_detections(sample.ssa, values.shape)
        codes = [code.decode() for code in masks.rles]
        found = sorted(zip(codes, (detection.label for detection in sample.ssa.detections), strict=True))
        rows = expected["annotations"]
        assert found == sorted((row["segmentation"]["counts"], row["class_name"].strip()) for row in rows)
        painted = np.zeros(values.shape, values.dtype)
        for class_id, code in expected["semantic_mask"].items():
            painted[rle.decode(code["counts"].encode(), values.shape)] = int(class_id) + 1
        np.testing.assert_array_equal(values, painted)


def test_what_names_keep_without_colours_is_stored_where_it_is_asked(dataset: fo.Dataset, tmp_path: Path) -> None:
    checked = {**SETTINGS, "semantic.check": "colourless"}
    annotate(dataset[:1], overrides=SETTINGS)
    assert not dataset.has_sample_field("ssa.detections.colourless_share")
    with pytest.raises(InputError, match=r"different: semantic\.check"):
        annotate(dataset[:1], overrides=checked)
    annotate(dataset[:1], overrides=checked, overwrite=True)
    sample, shares = dataset.first(), {}
    grey = np.asarray(PIL.Image.open(sample.filepath).convert("RGB").convert("L")) // 86
    masks = labels.mask_set_from_detections(sample.ssa, grey.shape)
    for detection, code in zip(sample.ssa.detections, masks.rles, strict=True):
        shares[code.decode()] = share = detection.get_attribute_value("colourless_share", None)
        if detection.label is None:
            assert share is None
        else:
            best = dict(zip(detection.colourless_classes, detection.colourless_scores, strict=True))
            assert best.get(detection.label, 0.0) == pytest.approx(share)
            there = grey[rle.decode(code, grey.shape)] == ("dark", "middle", "bright").index(detection.label)
            assert share == pytest.approx(there.mean())
    few = sum(share < 0.9 for share in shares.values() if share is not None)
    assert dataset.filter_labels("ssa", F("colourless_share") < 0.9).count("ssa.detections") == few > 0
    export(dataset[:1], tmp_path / "out", format="ssa-json", progress=False)
    (path,) = (tmp_path / "out").rglob("*_semantic.json")
    rows = read_json(path)["annotations"]
    assert {row["segmentation"]["counts"]: row["colourless_share"] for row in rows} == shares
    assert any(row["colourless_classes"] and row["colourless_scores"] for row in rows)


def test_finished_samples_are_skipped_until_settings_change(dataset: fo.Dataset) -> None:
    assert annotate(dataset[:2], overrides=SETTINGS).done == 2
    before = dataset.values("ssa.detections.id")
    again = annotate(dataset, overrides=SETTINGS)
    assert (again.done, again.skipped, again.redone) == (1, 2, {})
    assert dataset.values("ssa.detections.id")[:2] == before[:2]
    assert annotate(dataset, overrides=SETTINGS).done == 0
    assert annotate(dataset, overrides=SETTINGS, keep_branch=True).done == 3
    assert annotate(dataset, overrides=SETTINGS, overwrite=True).done == 3
    assert dataset.values("ssa.detections.id")[0] != before[0]
    assert dataset.count("ssa_semantic") == 3


def test_a_preset_with_other_classes(dataset: fo.Dataset) -> None:
    annotate(dataset, overrides=SETTINGS)
    names = names_of(dataset, "ssa_semantic")
    other = {**SETTINGS, "semantic.model": f"{SEGMENTER}:colour"}
    with pytest.raises(InputError, match=r"results of other settings \(3 samples, .* different: semantic.model\)"):
        annotate(dataset[:1], overrides=other)
    assert annotate(dataset[:1], overrides=other, overwrite=True).done == 1
    assert names_of(dataset, "ssa_semantic")[1:] == names[1:]  # maps of other samples read as before
    assert names_of(dataset, "ssa_semantic")[0] <= {"red", "green", "blue"}
    targets = dict(enumerate(("dark", "middle", "bright", "red", "green", "blue"), 1))
    assert dataset.mask_targets["ssa_semantic"] == targets
    assert annotate(dataset, overrides=other, overwrite=True).done == 3
    assert set(dataset.distinct("ssa.detections.label")) <= {"red", "green", "blue"}


def test_masks_and_class_map_from_fields(dataset: fo.Dataset, tmp_path: Path) -> None:
    annotate(dataset, overrides=SETTINGS, label_field="first", keep_branch=True)
    view = dataset.filter_labels("first", F("area") > 2000)
    summary = annotate(view, label_field="second", masks_field="first", semantic_field="first_branch", batch_size=2)
    assert (summary.done, summary.errors) == (3, {})
    big = dataset.filter_labels("first", F("area") > 2000)
    for name in ("label", "vote_share", "area", "sa1b_id", "source_box", "predicted_iou", "mask"):
        ours, theirs = (big.values(f"{field}.detections.{name}", unwind=True) for field in ("second", "first"))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert annotate(view, label_field="second", masks_field="first", semantic_field="first_branch").done == 0
    other_masks = annotate(dataset, label_field="second", masks_field="first", semantic_field="first_branch")
    assert (other_masks.done, dict(other_masks.redone)) == (3, {"image with changed masks": 3})
    dataset[:1].set_values("first", [None])
    summary = annotate(
        dataset, label_field="second", masks_field="first", semantic_field="first_branch", overwrite=True
    )
    assert summary.done == 2
    assert "has no label in 'first'" in summary.errors[dataset.first().filepath]


def test_one_bad_image_does_not_stop_the_others(dataset: fo.Dataset, photos: Path) -> None:
    (photos / "coffee.png").write_bytes(b"")
    summary = annotate(dataset, overrides=SETTINGS)
    assert summary.done == 2
    assert list(summary.errors) == [str(photos / "coffee.png")]
    failed = dataset.exists("ssa_error")
    assert failed.values("filepath") == [str(photos / "coffee.png")]
    assert "is empty (0 bytes)" in failed.first().ssa_error
    assert failed.first().ssa is None
    (photos / "coffee.png").write_bytes((photos / "rocket.png").read_bytes())
    (photos / "coffee.json").write_bytes((photos / "rocket.json").read_bytes())
    assert annotate(dataset, overrides=SETTINGS).done == 1
    assert len(dataset.exists("ssa_error")) == 0


def test_a_rotated_photograph_has_the_pixels_that_the_app_shows(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (40, 20), "black")
    picture.paste("white", (30, 0, 40, 10))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise: 20 wide, 40 high
    picture.save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "a.jpg")))
    dataset.compute_metadata()
    size = (dataset.first().metadata.height, dataset.first().metadata.width)
    assert size == (40, 20)
    upright = np.zeros(size, bool)
    upright[30:, 10:] = True
    mask = rle.mask_set(size, [rle.encode(upright)])
    dataset.add_sample_field("sam", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.set_values("sam", [fo.Detections.from_dict(labels.masks_document(mask, tmp_path))])
    assert annotate(dataset, overrides=SETTINGS, masks_field="sam", keep_branch=True).errors == {}
    sample = dataset.first()
    assert sample.ssa_semantic.get_mask().shape == size
    assert sample.ssa.detections[0].label == "bright"
    assert sample.ssa.detections[0].confidence == 1.0


def test_same_file_names_do_not_collide_and_a_folder_can_be_chosen(parity: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for suffix in (".png", ".json"):
            shutil.copy(parity / "inputs" / f"{'chelsea' if folder == 'a' else 'rocket'}{suffix}", tmp_path / folder)
            source = next((tmp_path / folder).glob(f"*{suffix}"))
            source.rename(tmp_path / folder / f"same{suffix}")
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(tmp_path / folder / "same.png")) for folder in ("a", "b")])
    annotate(dataset, overrides=SETTINGS, semantic_dir=tmp_path / "maps of mine")
    for sample in dataset:
        assert Path(sample.ssa_semantic.mask_path).parent == tmp_path / "maps of mine" / "ssa_semantic"
        assert sample.ssa_semantic.get_mask().shape == PIL.Image.open(sample.filepath).size[::-1]


def test_the_database_refusing_a_sample_is_that_samples_failure(dataset: fo.Dataset) -> None:
    dataset.add_sample_field("ballast", fo.StringField)
    dataset[1:2].set_values("ballast", ["x" * (16 * 1024 * 1024 - 20_000)])
    summary = annotate(dataset, overrides=SETTINGS)
    assert summary.done == 2
    assert "the database refuses its labels" in summary.errors[dataset.skip(1).first().filepath]
    assert dataset.count("ssa_preset") == 2


def test_a_folder_that_cannot_be_written_is_one_sentence(dataset: fo.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/.*\.png cannot be written: Not a directory"):
        annotate(dataset, overrides=SETTINGS, semantic_dir=tmp_path / "file")
    assert dataset.count("ssa") == 0


def test_progress_callback(dataset: fo.Dataset) -> None:
    seen: list[float] = []
    annotate(dataset, overrides=SETTINGS, progress=lambda bar: seen.append(bar.progress))
    assert seen[-1] == 1.0


def test_nothing_writes_on_after_a_run_was_stopped(dataset: fo.Dataset) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    others = threading.enumerate()  # of tests that left one at work
    with pytest.raises(KeyboardInterrupt) as stopped:
        annotate(dataset, overrides=SETTINGS, progress=stop)
    assert not any(thread.name == "consume" for thread in threading.enumerate() if thread not in others)
    assert stopped.tb is not None  # it holds the run's frames, so that nothing was closed by chance


def test_bad_arguments_are_one_sentence(dataset: fo.Dataset, photos: Path) -> None:
    def refuse(message: str, samples: object = dataset, **arguments: object) -> None:
        with pytest.raises(InputError, match=message):
            annotate(samples, overrides=SETTINGS, **arguments)

    refuse("samples must be a FiftyOne dataset or view, got list", samples=[])
    refuse("no sample", samples=dataset.limit(0))
    refuse("label_field must be a name", label_field="my labels")
    refuse("label_field must be a name", label_field="a.b")
    refuse("label_field must be a name", label_field="_hidden")
    refuse("'filepath' exists and is no Detections", label_field="filepath")
    refuse("masks_field must be a Detections field of .* it has none", masks_field="nothing")
    refuse("semantic_field must be a Segmentation field", semantic_field="filepath")
    dataset.add_sample_field("maps", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    refuse("'maps' has no class names", semantic_field="maps")
    dataset.add_sample_field("sam", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    refuse("whole images, got a view of patches", samples=dataset.to_patches("sam"))
    with pytest.raises(InputError, match="pass semantic_field"):
        annotate(dataset, overrides={**SETTINGS, "semantic.source": "field"})
    video = fo.Dataset()
    video.add_sample(fo.Sample(filepath="/nowhere/film.mp4"))
    refuse("got a video dataset", samples=video)
    grouped = fo.Dataset()
    grouped.add_group_field("group", default="left")
    grouped.add_sample(fo.Sample(filepath=str(photos / "coffee.png"), group=fo.Group().element("left")))
    refuse("got groups of them", samples=grouped)
    assert annotate(grouped.select_group_slices("left"), overrides=SETTINGS).done == 1


def test_stamp_tells_presets_apart(dataset: fo.Dataset) -> None:
    annotate(dataset, overrides=SETTINGS)
    assert dataset.distinct("ssa_preset") == [settings_stamp(load_preset("ssa-ade20k", SETTINGS)).fingerprint]
