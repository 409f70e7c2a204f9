"""Class maps painted anew from labels that people changed: relabelled, rejected, drawn, in words of their own."""

from datetime import UTC, datetime
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.labels.evaluation import evaluate
from fiftyone_ssa.labels.lease import LeaseHeldError, hold
from fiftyone_ssa.labels.repaint import repaint

SIZE_HW = (32, 48)


class Halves:
    """The upper half is sky, the lower grass."""

    classes = ("sky", "grass", "tree")

    def __call__(self, images):
        return [(np.arange(image.shape[0])[:, None] >= 16) + 0 * image[..., 0].astype(int) for image in images]


class AllTree(Halves):
    """Everything is a tree."""

    def __call__(self, images):
        return [np.full(image.shape[:2], 2) for image in images]


def box(x, y, width, height, **more):
    return fo.Detection(
        bounding_box=[x / 48, y / 32, width / 48, height / 32], mask=np.ones((height, width), bool), **more
    )


@pytest.fixture
def dataset(tmp_path):
    """Two images with a mask in the sky, one in the grass, and one in it."""
    dataset = fo.Dataset()
    for name in "ab":
        Image.new("RGB", (48, 32), (9, 99, 9)).save(tmp_path / f"{name}.png")
        masks = [box(4, 2, 20, 10, label="m"), box(4, 18, 30, 12, label="m"), box(8, 20, 4, 4, label="m")]
        dataset.add_sample(fo.Sample(filepath=str(tmp_path / f"{name}.png"), m=fo.Detections(detections=masks)))
    yield dataset
    dataset.delete()


def annotated(dataset, *, segmenter="Halves", **options):
    overrides = {"semantic.model": f"tests.labels.test_repaint:{segmenter}"}
    return annotate(dataset, "mini-ssa", masks_field="m", overrides=overrides, progress=False, **options)


def pixels(dataset, place=0, field="ssa_semantic"):
    """The names that a class map shows."""
    sample = list(dataset.sort_by("filepath"))[place]
    names = np.array(["", *dataset.mask_targets[field].values()])
    return names[sample[field].get_mask()]


def change(dataset, index, place=0, **values):
    sample = list(dataset.sort_by("filepath"))[place]
    for name, value in values.items():
        sample.ssa.detections[index][name] = value
    sample.save()


def test_corrections_reach_the_map(dataset):
    annotated(dataset, keep_branch=True)
    before = [sample.ssa_semantic.mask_path for sample in dataset.sort_by("filepath")]
    change(dataset, 0, label="tree")
    change(dataset, 1, review="rejected", reviewed_at=datetime.now(UTC))
    sample = dataset.sort_by("filepath").first()
    sample.ssa.detections.append(box(40, 0, 8, 6, label="grass"))
    sample.save()
    done = repaint(dataset, progress=False)
    assert str(done) == "1 class map painted, 1 unchanged"
    expected = np.full(SIZE_HW, "sky", object)
    expected[16:] = "grass"
    expected[2:12, 4:24] = "tree"
    expected[:6, 40:] = "grass"
    np.testing.assert_array_equal(pixels(dataset), expected)
    after = [sample.ssa_semantic.mask_path for sample in dataset.sort_by("filepath")]
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert Path(before[0]).exists()
    assert str(repaint(dataset, progress=False)) == "0 class maps painted, 2 unchanged"


def test_small_masks_are_painted_over_large_ones(dataset):
    annotated(dataset, keep_branch=True)
    change(dataset, 2, label="tree")
    change(dataset, 1, label="sky")
    repaint(dataset, progress=False)
    found = pixels(dataset)
    assert (found[20:24, 8:12] == "tree").all()
    assert (found[18:20, 4:34] == "sky").all()


def test_a_word_of_ones_own_is_a_new_class_and_other_maps_stay_right(dataset):
    annotated(dataset, keep_branch=True)
    change(dataset, 0, label="a kite, I say")
    change(dataset, 2, label="TREE")
    done = repaint(dataset, progress=False)
    assert done.new_classes == ["a kite, I say"]
    assert list(dataset.mask_targets["ssa_semantic"].values()) == ["sky", "grass", "tree", "a kite, I say"]
    assert (pixels(dataset)[2:12, 4:24] == "a kite, I say").all()
    assert (pixels(dataset)[20:24, 8:12] == "tree").all()
    assert set(pixels(dataset, 1).ravel()) == {"sky", "grass"}
    annotated(dataset, keep_branch=True, overwrite=True)
    assert set(pixels(dataset, 1).ravel()) == {"sky", "grass"}


def test_without_a_branch_the_map_itself_is_painted_on(dataset):
    annotated(dataset)
    change(dataset, 0, label="tree")
    done = repaint(dataset, progress=False)
    assert (done.painted, done.unchanged, done.without_branch) == (1, 1, 1)
    assert (pixels(dataset)[2:12, 4:24] == "tree").all()
    change(dataset, 0, review="rejected")
    repaint(dataset, progress=False)
    assert (pixels(dataset)[2:12, 4:24] == "tree").all()  # nothing tells what was there


def test_a_preset_makes_the_maps_to_begin_with_and_they_are_kept(dataset):
    annotated(dataset)
    change(dataset, 0, review="rejected")
    overrides = {"semantic.model": "tests.labels.test_repaint:AllTree"}
    done = repaint(dataset, preset="mini-ssa", overrides=overrides, progress=False)
    assert (done.painted, done.without_branch) == (2, 0)
    assert (pixels(dataset)[2:12, 4:24] == "tree").all()
    assert (pixels(dataset)[18:30, 4:34] == "grass").all()
    assert set(pixels(dataset, field="ssa_branch").ravel()) == {"tree"}
    assert repaint(dataset, progress=False).unchanged == 2


def test_labels_without_maps_need_a_preset(dataset):
    with pytest.raises(InputError, match=r"'m' has no class maps to begin with .* pass preset="):
        repaint(dataset, "m")
    for sample in dataset:
        sample.m.detections[2].label = "cat"
        sample.save()
    overrides = {"semantic.model": "tests.labels.test_repaint:AllTree"}
    done = repaint(dataset, "m", preset="mini-ssa", overrides=overrides, progress=False)
    assert done.new_classes == ["m", "cat"]
    assert set(pixels(dataset, field="m_semantic").ravel()) == {"tree", "m", "cat"}


def test_evaluation_tells_that_labels_changed_and_counts_the_repainted(dataset, caplog):
    annotated(dataset, keep_branch=True)
    truth = np.full(SIZE_HW, 1, np.uint8)
    truth[16:] = 2
    truth[2:12, 4:24] = 3
    for sample in dataset:
        sample["ground_truth"] = fo.Segmentation(mask=truth)
        sample.save()
    targets = {1: "sky", 2: "grass", 3: "tree"}
    before = evaluate(dataset, "ssa_semantic", mask_targets=targets, progress=False)
    assert before.outdated_maps == []
    change(dataset, 0, label="tree")
    changed = evaluate(dataset, "ssa_semantic", mask_targets=targets, eval_key="k", progress=False)
    advice = "the labels of 1 image in 'ssa' changed after their class map was painted; fiftyone_ssa.repaint(samples"
    assert advice in caplog.text
    assert advice in str(changed.scores)
    assert changed.outdated_maps == [dataset.sort_by("filepath").first().id]
    assert changed.scores.mean_iou == before.scores.mean_iou
    repaint(dataset, progress=False)
    after = evaluate(dataset, "ssa_semantic", mask_targets=targets, progress=False)
    assert after.outdated_maps == []
    assert after.scores.mean_iou > before.scores.mean_iou


@pytest.mark.parametrize("edit", ["mask", "box", "deleted", "review"])
def test_every_edit_of_a_mask_is_noticed(dataset, edit):
    annotated(dataset)
    sample = dataset.sort_by("filepath").first()
    mask = sample.ssa.detections[0]
    if edit == "mask":
        mask.mask = np.tri(*mask.mask.shape, dtype=bool)
    elif edit == "box":
        mask.bounding_box = [0.5, *mask.bounding_box[1:]]
    elif edit == "deleted":
        sample.ssa.detections.pop(0)
    else:
        mask["review"] = "rejected"
    sample.save()
    assert repaint(dataset, progress=False).painted == 1


def test_saving_a_sample_anew_changes_nothing(dataset):
    annotated(dataset)
    for sample in dataset:
        sample.ssa.detections = [label.copy() for label in sample.ssa.detections]
        sample.save()
    assert repaint(dataset, progress=False).unchanged == 2


def test_one_bad_mask_or_map_costs_itself(dataset):
    annotated(dataset)
    first, second = dataset.sort_by("filepath")
    first.ssa.detections[0].mask = None
    first.ssa.detections[0].label = "tree"
    first.save()
    Path(second.ssa_semantic.mask_path).unlink()
    done = repaint(dataset, progress=False)
    assert (done.painted, done.unpaintable) == (1, 1)
    assert "cannot be read" in done.errors[second.filepath]
    assert str(done).endswith("1 mask without pixels that can be read not painted; 1 failed")


def test_a_view_is_painted_alone_and_from_all_its_labels(dataset):
    annotated(dataset, keep_branch=True)
    for place in (0, 1):
        change(dataset, 0, place, label="tree")
    view = dataset.sort_by("filepath").limit(1).filter_labels("ssa", fo.ViewField("label") == "grass")
    assert repaint(view, progress=False).painted == 1
    assert "tree" in pixels(dataset)
    assert "tree" not in pixels(dataset, 1)


def test_one_writer_a_field(dataset):
    annotated(dataset)
    with hold(dataset, "ssa"), pytest.raises(LeaseHeldError, match="is being written"):
        repaint(dataset)


def test_people_may_go_on_while_it_paints(dataset, monkeypatch):
    import fiftyone_ssa.labels.painter as painter

    annotated(dataset, keep_branch=True)
    change(dataset, 0, label="tree")
    edits = iter(["tree", "sky"])

    def save(values, path, real=painter.save_png):
        for label in edits:
            change(dataset, 2, label=label)
            break
        real(values, path)

    monkeypatch.setattr(painter, "save_png", save)
    assert repaint(dataset, progress=False).painted == 1
    assert (pixels(dataset)[20:24, 8:12] == "sky").all()
    assert dataset.sort_by("filepath").first().ssa.detections[2].label == "sky"
    folder = Path(dataset.first().ssa_semantic.mask_path).parent
    assert len(list(folder.glob("*.png"))) == 3  # two of the first run, one of this


@pytest.mark.parametrize(
    ("label_field", "message"),
    [("nothing", "must be a Detections field of .* it has m"), ("a b", "must be a name"), (3, "must be a name")],
)
def test_wrong_fields_get_one_sentence(dataset, label_field, message):
    with pytest.raises(InputError, match=message):
        repaint(dataset, label_field)


def test_a_preset_without_a_segmenter_is_refused(dataset):
    annotated(dataset)
    with pytest.raises(InputError, match="has no segmenter that makes class maps"):
        repaint(dataset, preset="mini-engine")
    with pytest.raises(InputError, match="overrides change a preset, and none is named"):
        repaint(dataset, overrides={"semantic.vote": "soft"})


def test_painted_samples_are_done_and_old_maps_can_be_cleaned(dataset):
    annotated(dataset, keep_branch=True)
    change(dataset, 0, label="tree")
    repaint(dataset, progress=False)
    assert annotated(dataset, keep_branch=True).skipped == 2
    assert ssa.clean(dataset).files == 1
    assert "tree" in pixels(dataset)


def test_a_repaint_that_was_stopped_leaves_nothing_to_the_next(dataset, monkeypatch):
    import fiftyone_ssa.labels.painter as painter

    annotated(dataset, keep_branch=True)
    for place in (0, 1):
        change(dataset, 0, place, label="tree")
    saved = []

    def stop(values, path, real=painter.save_png):
        real(values, path)
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(painter, "save_png", stop)
        with pytest.raises(KeyboardInterrupt):
            repaint(dataset, progress=False)
    dataset.reload()
    assert sorted("tree" in pixels(dataset, place) for place in (0, 1)) == [False, True]
    done = repaint(dataset, progress=False)
    assert (done.painted, done.unchanged) == (1, 1)
    assert [path.exists() for path in saved] == [True, False]


def test_patches_are_no_images(dataset):
    annotated(dataset)
    with pytest.raises(InputError, match="takes whole images"):
        repaint(dataset.to_patches("ssa"))


@pytest.mark.parametrize("wrong", [{"device": "tpu"}, {"dtype": "half"}, {"batch_size": 0}])
def test_wrong_arguments_are_refused_where_no_model_needs_them_too(dataset, wrong):
    annotated(dataset)
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
        repaint(dataset, **wrong)


def test_a_dataset_by_name(dataset):
    annotated(dataset)
    dataset.persistent = True
    assert ssa.repaint(dataset.name, progress=False).unchanged == 2
    with pytest.raises(InputError, match="there is no dataset 'nowhere'"):
        ssa.repaint("nowhere")
