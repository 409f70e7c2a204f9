"""Panoptic maps in the database: no pixel twice, stuff in one piece, people's word first."""

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ontology import Ontology
from tests.labels.test_levels import HEIGHT, WIDTH, box, told


@pytest.fixture
def dataset(tmp_path):
    """Two images: a car with a wheel before two pieces of road, and a second, less sure car over the first."""
    dataset = fo.Dataset()
    for name in "ab":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{name}.png")
        masks = [
            box(0, 20, 64, 20, label="road", confidence=0.99),
            box(4, 4, 30, 30, label="car", confidence=0.9),
            box(8, 20, 12, 12, label="wheel", confidence=0.95),
            box(30, 4, 20, 30, label="car", confidence=0.6),
            box(0, 40, 64, 8, label="road", confidence=0.7),
            box(60, 0, 4, 4),
        ]
        dataset.add_sample(fo.Sample(filepath=str(tmp_path / f"{name}.png"), ssa=fo.Detections(detections=masks)))
    yield dataset
    dataset.delete()


def ids_of(sample, field="ssa"):
    """The map's ids, as COCO's panoptic files hold them."""
    pixels = sample[f"{field}_panoptic_map"].get_mask().astype(int)
    return pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]


def segment(sample, place):
    """One segment's pixels from its detection."""
    full = np.zeros((HEIGHT, WIDTH), bool)
    row = sample.ssa_panoptic.detections[place]
    x, y = int(row.bounding_box[0] * WIDTH), int(row.bounding_box[1] * HEIGHT)
    full[y : y + row.mask.shape[0], x : x + row.mask.shape[1]] = row.mask
    return full


def test_no_pixel_has_two_segments_and_the_surer_mask_wins(dataset):
    done = ssa.panoptic(dataset, progress=False)
    assert str(done) == "6 segments in 2 images, 4 masks left out"
    sample = dataset.first()
    assert told(sample, "label", "ssa_panoptic") == ["car", "car", "road"]
    assert told(sample, "is_thing", "ssa_panoptic") == [True, True, False]
    ids, expected = ids_of(sample), np.zeros((HEIGHT, WIDTH), int)
    expected[20:48] = 3
    expected[4:34, 30:50] = 2
    expected[4:34, 4:34] = 1
    np.testing.assert_array_equal(ids, expected)
    for place, row in enumerate(sample.ssa_panoptic.detections):
        np.testing.assert_array_equal(segment(sample, place), ids == row.index)
    members = sample.ssa_panoptic.detections[2]["members"]
    assert members == [sample.ssa.detections[0].id, sample.ssa.detections[4].id]
    assert told(sample, "label") == ["road", "car", "wheel", "car", "road", None]


def test_parts_are_segments_where_they_are_asked_for(dataset):
    ssa.panoptic(dataset, level="part", progress=False)
    sample = dataset.first()
    assert sorted(told(sample, "label", "ssa_panoptic")) == ["car", "car", "road", "wheel"]
    wheel = told(sample, "label", "ssa_panoptic").index("wheel")
    assert segment(sample, wheel).sum() == 144


def test_what_a_person_said_comes_first(dataset):
    sample = dataset.first()
    sample.ssa.detections[3]["review"] = "accepted"
    sample.ssa.detections[0]["review"] = "rejected"
    sample.save()
    ssa.panoptic(dataset.limit(1), progress=False)
    sample.reload()
    ids = ids_of(sample)
    assert len(np.unique(ids[4:34, 30:50])) == 1
    assert (ids[36, :] == 0).all()


def test_an_ontology_names_the_classes_and_says_what_is_stuff(dataset, tmp_path):
    text = '[[classes]]\nname = "vehicle"\nid = 7\nsynonyms = ["car"]\nis_thing = false\n'
    (tmp_path / "own.toml").write_text(text)
    done = ssa.panoptic(dataset, ontology=tmp_path / "own.toml", progress=False)
    assert done.segments == 2
    sample = dataset.first()
    assert told(sample, "label", "ssa_panoptic") == ["vehicle"]
    assert segment(sample, 0).sum() == 46 * 30
    same = ssa.panoptic(dataset, ontology=Ontology.load(tmp_path / "own.toml"), progress=False)
    assert same.segments == 2


@pytest.mark.parametrize("change", ["label", "mask", "tags", "less"])
def test_segments_that_people_changed_stay(dataset, change):
    ssa.panoptic(dataset, progress=False)
    dataset.reload()
    sample = dataset.first()
    row = sample.ssa_panoptic.detections[0]
    if change == "less":
        sample.ssa_panoptic.detections.pop()
    else:
        row[change] = {"label": "lorry", "mask": ~row.mask, "tags": ["seen"]}[change]
    sample.save()
    theirs = sample.to_dict()["ssa_panoptic"]
    done = ssa.panoptic(dataset, level="part", progress=False)
    assert (done.images, done.kept) == (1, 1)
    assert str(done).endswith("1 image whose segments people changed stay")
    sample.reload()
    assert sample.to_dict()["ssa_panoptic"] == theirs
    assert ssa.panoptic(dataset, level="part", overwrite=True, progress=False).images == 2
    sample.reload()
    assert told(sample, "label", "ssa_panoptic") == told(dataset.last(), "label", "ssa_panoptic")


def test_files_that_nothing_points_to_are_cleaned(dataset):
    ssa.panoptic(dataset, progress=False)
    first = dataset.first().ssa_panoptic_map.mask_path
    ssa.panoptic(dataset, progress=False)
    assert ssa.clean(dataset).files == 2
    dataset.reload()
    assert dataset.first().ssa_panoptic_map.mask_path != first
    assert dataset.first().ssa_panoptic_map.get_mask().shape == (HEIGHT, WIDTH, 3)


def test_damage_costs_itself_only(dataset, tmp_path):
    (tmp_path / "a.png").unlink()
    done = ssa.panoptic(dataset, progress=False)
    assert (done.images, len(done.errors)) == (1, 1)


def test_wrong_arguments_are_told(dataset):
    with pytest.raises(InputError, match="level must be one of whole, part, subpart, got 'all'"):
        ssa.panoptic(dataset, level="all")
    with pytest.raises(InputError, match="label_field must be a Detections field"):
        ssa.panoptic(dataset, "sky")
    dataset.add_sample_field("ssa_panoptic", fo.StringField)
    with pytest.raises(InputError, match="'ssa_panoptic' exists"):
        ssa.panoptic(dataset)
