"""Counts by the database against plain Python over the same samples, as FiftyOne's objects show them."""

from collections import Counter

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.curation.confusions import CLOSE, confuses, count_confusions
from fiftyone_ssa.curation.counts import BINS, count_names, count_scores, mask_fields
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import dataset_id, own_collection
from fiftyone_ssa.labels.doubt import doubt
from fiftyone_ssa.labels.review import state_of

WORDS = ("sky", "tree", "wall", None)
PROPOSALS = (
    (["sky", "tree"], [0.5, 0.45]),
    (["tree", "sky"], [0.55, 0.4]),
    (["wall", "sky", "tree"], [0.9, 0.05, 0.05]),
    (["sky"], [1.0]),
    ([], []),
    (["sky", "wall"], [0.4, 0.4]),
    (None, None),
)


def detection(index):
    """One of many kinds of masks: with and without a name, a margin, a source, a review, proposals."""
    said = WORDS[index % 4]
    names, scores = PROPOSALS[index % len(PROPOSALS)]
    attributes = {
        "class_name": said if index % 11 else None,
        "vote_margin": (None, 0.0, 0.31, 1.0, 1.5, float("nan"))[index % 6],
        "confidence": (index % 21) / 20 if index % 5 else None,
        "label_source": ("coco", "open", None)[index % 3],
        "review": (None, None, "accepted", "corrected", "rejected")[index % 5],
        "class_proposals": names,
        "proposal_scores": scores,
    }
    label = "wall" if index % 7 == 0 else said
    known = {name: value for name, value in attributes.items() if value is not None}
    return fo.Detection(label=label, bounding_box=[0.1, 0.1, 0.2, 0.2], **known)


@pytest.fixture(scope="module")
def dataset():
    """Forty samples: some without a label, some with an empty one; half of them done by a preset that is known."""
    dataset = fo.Dataset()
    samples = [
        fo.Sample(
            filepath=f"/{i}.png",
            odd=bool(i % 2),
            ssa=None if i == 3 else fo.Detections(detections=[detection(k) for k in range(i, i + 9 * (i != 5))]),
            ssa_preset="f1" if i % 2 else "unknown",
        )
        for i in range(40)
    ]
    dataset.add_samples(samples, dynamic=True)
    own_collection("runs").insert_one(
        {"_id": "t1", "dataset": dataset_id(dataset), "fingerprint": "f1", "preset": "mini-ssa", "values": "{}"}
    )
    assert runs.settings_of("f1") == ("mini-ssa", {})
    yield dataset
    own_collection("runs").delete_one({"_id": "t1"})
    dataset.delete()


VIEWS = {
    "all": lambda dataset: dataset,
    "some samples": lambda dataset: dataset.match(F("odd")),
    "some labels": lambda dataset: dataset.filter_labels("ssa", F("label").is_in(["sky", "tree"])),
    "none": lambda dataset: dataset.filter_labels("ssa", F("label") == "nothing"),
    "patches": lambda dataset: dataset.filter_labels("ssa", F("confidence") > 0.5).to_patches("ssa"),
}


@pytest.fixture(params=list(VIEWS))
def samples(dataset, request):
    return VIEWS[request.param](dataset)


def masks_of(samples):
    """Every mask as an object, with its sample."""
    for sample in samples:
        label = sample["ssa"]
        for mask in label.detections if isinstance(label, fo.Detections) else [label] if label else []:
            yield sample, mask


def get(mask, name):
    return mask[name] if mask.has_field(name) else None


def preset_of(sample):
    preset = sample["ssa_preset"] if sample.has_field("ssa_preset") else None
    return "mini-ssa" if preset == "f1" else preset


def bar_of(value):
    return min(BINS - 1, int(value * BINS)) if value is not None and 0 <= value <= 1 else None


def test_names_sources_states_and_corrections(samples):
    found = count_names(samples)
    rows = [(sample, mask) for sample, mask in masks_of(samples)]
    assert found.images == len(list(samples))
    assert found.masks == len(rows)
    assert found.classes == Counter(mask.label for _, mask in rows)
    assert found.sources == Counter((get(mask, "label_source"), preset_of(sample)) for sample, mask in rows)
    assert found.states == Counter(state_of(mask) for _, mask in rows)
    assert found.reviewed == sum(state_of(mask) != "open" for _, mask in rows)
    assert found.by_ssa == sum(get(mask, "class_name") is not None for _, mask in rows)
    changed = [(get(mask, "class_name"), mask.label) for _, mask in rows]
    assert found.corrections == Counter((said, now) for said, now in changed if said not in (None, now))
    for counts in (found.classes, found.sources, found.corrections):
        assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_histograms(samples):
    masks = [mask for _, mask in masks_of(samples)]
    for found, name in zip(count_scores(samples), ("vote_margin", "confidence"), strict=True):
        bars = Counter(bar_of(get(mask, name)) for mask in masks)
        assert found.bars == tuple(bars[place] for place in range(BINS))
        assert found.missing == bars[None]
        assert found.known + found.missing == len(masks)


def test_confusions_and_the_view_of_each(samples):
    close, corrected = Counter(), Counter()
    for _, mask in masks_of(samples):
        names, scores = get(mask, "class_proposals") or [], get(mask, "proposal_scores") or []
        if len(names) > 1 and scores[0] - scores[1] < CLOSE:
            close[frozenset(names[:2])] += 1
        if mask.label and get(mask, "class_name") not in (None, mask.label):
            corrected[frozenset([mask.label, mask["class_name"]])] += 1
    found = count_confusions(samples)
    assert {frozenset([row.name, row.other]): (row.close, row.corrected) for row in found} == {
        pair: (close[pair], corrected[pair]) for pair in {*close, *corrected}
    }
    assert [row.masks for row in found] == sorted((row.masks for row in found), reverse=True)


def test_confuses_finds_the_masks_that_were_counted(dataset):
    rows = count_confusions(dataset)
    assert {(row.close, row.corrected) > (0, 0) for row in rows} == {True}
    for row in rows:
        view = dataset.filter_labels("ssa", confuses(row.other, row.name))
        both = sum(
            len(get(mask, "class_proposals") or []) > 1
            and mask["proposal_scores"][0] - mask["proposal_scores"][1] < CLOSE
            and {*mask["class_proposals"][:2]} == {row.name, row.other}
            and {get(mask, "class_name"), mask.label} == {row.name, row.other}
            for _, mask in masks_of(view)
        )
        assert view.count("ssa.detections") == row.masks - both
    pairs = [dataset.filter_labels("ssa", confuses("tree", other)) for other in ("sky", "wall")]
    ids = [{mask.id for _, mask in masks_of(view)} for view in pairs]
    assert {mask.id for _, mask in masks_of(dataset.filter_labels("ssa", confuses("tree")))} == ids[0] | ids[1]
    assert all(ids)


def test_masks_of_somebody_else():
    dataset = fo.Dataset()
    masks = [fo.Detection(label="cat", confidence=5.0, label_source=7, class_proposals="no list") for _ in range(3)]
    dataset.add_sample(fo.Sample(filepath="/a.png", boxes=fo.Detections(detections=masks), other=fo.Classification()))
    assert mask_fields(dataset) == ["boxes"]
    found = count_names(dataset, "boxes")
    assert (found.images, found.masks, found.by_ssa) == (1, 3, 0)
    assert found.states == {"open": 3}
    assert found.classes == {"cat": 3}
    assert found.sources == {(None, None): 3}
    assert [histogram.known for histogram in count_scores(dataset, "boxes")] == [0, 0]
    assert count_confusions(dataset, "boxes") == []
    dataset.delete()


@pytest.mark.parametrize("names", ["sky", 7, [None, "sky"], [["sky"], "sky"], {"a": "sky"}])
@pytest.mark.parametrize("scores", [[0.5, 0.5], ["0.5", None], "0.5"])
def test_proposals_that_are_none_confuse_nothing(names, scores):
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath="/a.png", ssa=fo.Detections(detections=[fo.Detection(label="sky")])))
    stored = {"ssa.detections.0.class_proposals": names, "ssa.detections.0.proposal_scores": scores}
    dataset._sample_collection.update_one({}, {"$set": stored})
    assert count_confusions(dataset) == []
    pipeline = [{"$unwind": "$ssa.detections"}, {"$project": {"doubt": doubt("$ssa.detections")}}]
    (row,) = dataset._sample_collection.aggregate(pipeline)
    assert 0 <= row["doubt"] <= 1
    dataset.delete()


def test_an_empty_dataset_and_one_slice_of_groups():
    dataset = fo.Dataset()
    dataset.add_sample_field("ssa", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    assert count_names(dataset) == count_names(dataset.view())
    assert (count_names(dataset).images, count_names(dataset).masks) == (0, 0)
    dataset.add_group_field("group", default="left")
    for _ in range(2):
        group = fo.Group()
        for slice_, count in (("left", 1), ("right", 3)):
            masks = fo.Detections(detections=[fo.Detection(label=slice_) for _ in range(count)])
            dataset.add_sample(fo.Sample(filepath="/a.png", group=group.element(slice_), ssa=masks))
    assert count_names(dataset).classes == {"left": 2}
    dataset.group_slice = "right"
    assert count_names(dataset).classes == {"right": 6}
    assert count_names(dataset.select_group_slices(["left", "right"])).classes == {"right": 6, "left": 2}
    dataset.delete()


@pytest.mark.parametrize("count", [count_names, count_scores, count_confusions])
@pytest.mark.parametrize("field", ["nothing", "odd", None, 3])
def test_a_field_without_masks_is_told(dataset, count, field):
    with pytest.raises(InputError, match=r"is no Detections field of .* it has ssa$"):
        count(dataset, field)


@pytest.mark.parametrize("close", [-1, 2, "0.1", True, None])
def test_what_close_may_be(dataset, close):
    with pytest.raises(InputError, match="close must be a number from 0 to 1"):
        count_confusions(dataset, close=close)
