"""Levels written beside names: what lies in what, in the database, past what people did and what is damaged."""

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError

WIDTH, HEIGHT = 64, 48


def box(x, y, width, height, **more):
    return fo.Detection(
        bounding_box=[x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT],
        mask=np.ones((height, width), bool),
        **more,
    )


@pytest.fixture
def dataset(tmp_path):
    """Three images of a car with a wheel with a hub, and a tree beside it."""
    dataset = fo.Dataset()
    for name in "abc":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{name}.png")
        masks = [box(4, 4, 40, 30, label="car"), box(8, 20, 12, 12, label="wheel"), box(11, 23, 5, 5, label="hub")]
        masks.append(box(48, 2, 10, 40, label="tree"))
        dataset.add_sample(fo.Sample(filepath=str(tmp_path / f"{name}.png"), ssa=fo.Detections(detections=masks)))
    yield dataset
    dataset.delete()


def told(sample, name="level", field="ssa"):
    return [mask.get_attribute_value(name, None) for mask in sample[field].detections]


def test_each_mask_gets_its_level_and_its_parent(dataset):
    done = ssa.levels(dataset, progress=False)
    assert str(done) == "6 wholes, 3 parts, 3 subparts in 3 images"
    sample = dataset.first()
    ids = [mask.id for mask in sample.ssa.detections]
    assert told(sample) == ["whole", "part", "subpart", "whole"]
    assert told(sample, "parent") == [None, ids[0], ids[1], None]
    assert dataset.count_values("ssa.detections.level") == {"whole": 6, "part": 3, "subpart": 3}
    before = dataset.values("last_modified_at")
    ssa.levels(dataset, progress=False)
    dataset.reload()
    assert dataset.values("last_modified_at") == before


def test_a_filtered_view_still_sees_all_masks_of_its_images(dataset):
    view = dataset.limit(1).filter_labels("ssa", fo.ViewField("label") == "hub")
    assert str(ssa.levels(view, progress=False)) == "2 wholes, 1 part, 1 subpart in 1 image"
    assert dataset.count("ssa.detections.level") == 4


def test_what_people_rejected_holds_nothing_and_levels_follow(dataset):
    ssa.levels(dataset, progress=False)
    sample = dataset.first()
    sample.ssa.detections[1]["review"] = "rejected"
    sample.save()
    done = ssa.levels(dataset.limit(1), progress=False)
    assert str(done) == "2 wholes, 1 part, 0 subparts in 1 image, 1 rejected mask left out"
    sample.reload()
    assert told(sample) == ["whole", None, "part", "whole"]
    assert told(sample, "parent")[2] == sample.ssa.detections[0].id
    assert [mask.label for mask in sample.ssa.detections] == ["car", "wheel", "hub", "tree"]


def test_a_mask_that_comes_twice_is_told(dataset):
    sample = dataset.first()
    sample.ssa.detections.append(box(4, 4, 40, 29, label="car", predicted_iou=0.7, stability_score=0.8))
    sample.save()
    done = ssa.levels(dataset.limit(1), progress=False)
    assert done.duplicates == 1
    sample.reload()
    assert told(sample, "duplicate_of")[-1] == sample.ssa.detections[0].id
    assert told(sample) == ["whole", "part", "subpart", "whole", "whole"]


def test_damage_costs_itself_only(dataset, tmp_path):
    sample = dataset.first()
    sample.ssa.detections[1].mask = None
    sample.save()
    (tmp_path / "b.png").unlink()
    done = ssa.levels(dataset, progress=False)
    assert done.unreadable == 1
    assert [path.rsplit("/", 1)[-1] for path in done.errors] == ["b.png"]
    assert done.images == 2
    assert "1 image FAILED" in str(done)


def test_wrong_arguments_are_told(dataset):
    with pytest.raises(InputError, match="label_field must be a Detections field"):
        ssa.levels(dataset, "sky")
    with pytest.raises(InputError, match="whole images"):
        ssa.levels(dataset.to_patches("ssa"), "ssa")
    dataset.add_sample_field("ssa.detections.level", fo.IntField)
    with pytest.raises(InputError, match="another type"):
        ssa.levels(dataset)


def test_runs_write_levels_where_a_setting_asks(make_dataset, name_masks):
    dataset = make_dataset(2)
    for sample in dataset:
        sample.masks.detections.append(fo.Detection(bounding_box=[0.3, 0.1, 0.1, 0.1], mask=np.ones((6, 9), bool)))
        sample.save()
    name_masks(dataset)
    assert "ssa.detections.level" not in dataset.get_field_schema(flat=True)
    written = {"masks.levels": "written"}
    with pytest.raises(InputError, match="results of other settings"):
        name_masks(dataset, overrides=written)
    sample = dataset.first()
    sample.ssa.detections[0].label = "a person said so"
    sample.save()
    name_masks(dataset, overrides=written, overwrite=True)
    dataset.reload()
    for sample in dataset:
        found = dict(zip((mask.id for mask in sample.ssa.detections), told(sample), strict=True))
        (part,) = [mask for mask in sample.ssa.detections if mask.level == "part"]
        assert found[part.parent] == "whole"
        assert sorted(found.values()) == ["part", "whole", "whole", "whole"]
    before = dataset.values("last_modified_at")
    ssa.levels(dataset, progress=False)  # finds the same
    dataset.reload()
    assert dataset.values("last_modified_at") == before


def test_masks_named_in_place_get_levels_too(make_dataset, name_masks):
    dataset = make_dataset(1)
    name_masks(dataset, label_field="masks", overrides={"masks.levels": "written"})
    assert told(dataset.first(), field="masks") == ["whole"] * 3
