"""Decisions are written at once, lose nothing of anybody, and are undone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone import ViewField as F

from fiftyone_ssa.curation import deciding
from fiftyone_ssa.curation.decisions import margin_of, relabel, rename_classes, review, undo
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels.clean import clean
from fiftyone_ssa.labels.database import own_collection, samples_of
from tests.labels.conftest import dataset_in, name_masks_of, segmenters_in

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]
DECIDED = {"label", "review", "reviewed_at"}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fo.Dataset]:
    """Three images, of each two masks named sky and one named grass."""
    folder = tmp_path_factory.mktemp("named")
    made = dataset_in(folder, 3)
    name_masks_of(made, segmenters_in(folder))
    made.reload()
    yield made
    made.delete()


@pytest.fixture
def dataset(named: fo.Dataset) -> Iterator[fo.Dataset]:
    """Those, to change."""
    clone = named.clone()
    yield clone
    if not clone.deleted:
        clone.delete()


@pytest.fixture
def fresh(make_dataset: Make, name_masks: Run) -> fo.Dataset:
    """The same of its own: a clone has the samples' ids, and no settings of ours for the App."""
    made = make_dataset(3)
    name_masks(made)
    made.reload()
    return made


def rows(dataset: fo.Dataset, field: str = "ssa") -> list[dict[str, Any]]:
    """Every mask as the database holds it."""
    found = samples_of(dataset).find({}, {field: 1}).sort("_id")
    return [row for document in found for row in (document.get(field) or {}).get("detections") or []]


def said(dataset: fo.Dataset, field: str = "ssa") -> list[tuple[Any, Any]]:
    return [(row.get("label"), row.get("review")) for row in rows(dataset, field)]


def mask_ids(dataset: fo.Dataset, *places: int, field: str = "ssa") -> list[str]:
    found = rows(dataset, field)
    return [str(found[place]["_id"]) for place in places]


def test_a_name_is_written_and_nothing_else(dataset: fo.Dataset) -> None:
    before = rows(dataset)
    done = relabel(dataset, ids=mask_ids(dataset, 0, 4), label="kite")
    assert (done.masks, done.samples, done.action) == (2, 2, "relabel")
    assert str(done) == "named 2 masks 'kite' in 2 images"
    after = rows(dataset)
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        assert changed == (DECIDED if place in (0, 4) else set())
    assert (after[0]["label"], after[0]["review"], after[0]["class_name"]) == ("kite", "corrected", "sky")
    assert abs((datetime.utcnow() - after[0]["reviewed_at"]).total_seconds()) < 60
    assert dataset.first().ssa.detections[0].label == "kite"  # a sample in memory, too


def test_a_new_name_is_offered_by_the_app(fresh: fo.Dataset) -> None:
    relabel(fresh, ids=mask_ids(fresh, 0), label="kite")
    fresh.reload()
    colours = next(entry for entry in fresh.app_config.color_scheme.fields if entry["path"] == "ssa")
    assert "kite" in [row["value"] for row in colours["valueColors"]]


def test_the_name_that_was_given_counts_as_accepted(dataset: fo.Dataset) -> None:
    relabel(dataset, ids=mask_ids(dataset, 0), label="kite")
    assert str(relabel(dataset, ids=mask_ids(dataset, 0), label=" Sky ")).endswith("'Sky' is taken for 'sky'")
    assert said(dataset)[0] == ("sky", "accepted")


def test_proposals_are_taken_by_their_place(dataset: fo.Dataset) -> None:
    for number, row in enumerate(rows(dataset)):
        proposals = {"ssa.detections.$[m].class_proposals": ["sky", "kite", "bird"][: 1 + number % 3]}
        samples_of(dataset).update_many({}, {"$set": proposals}, array_filters=[{"m._id": row["_id"]}])
    done = relabel(dataset, proposal=2)
    assert (done.masks, done.samples) == (6, 3)
    assert said(dataset)[:3] == [("sky", None), ("kite", "corrected"), ("kite", "corrected")]
    with pytest.raises(InputError, match="there is no proposal 3 for this"):
        relabel(dataset, ids=mask_ids(dataset, 1), proposal=3)


def test_reviews(dataset: fo.Dataset) -> None:
    assert str(review(dataset, "accept", ids=mask_ids(dataset, 0))) == "accepted 1 mask in 1 image"
    assert review(dataset, "reject", ids=mask_ids(dataset, 1)).masks == 1
    relabel(dataset, ids=mask_ids(dataset, 2), label="moss")
    assert said(dataset)[:3] == [("sky", "accepted"), ("sky", "rejected"), ("moss", "corrected")]
    assert review(dataset, "accept").masks == 6  # what is reviewed already stays as it is
    assert said(dataset)[:3] == [("sky", "accepted"), ("sky", "rejected"), ("moss", "corrected")]
    review(dataset, "reopen", ids=mask_ids(dataset, 0, 1, 2))
    assert said(dataset)[:3] == [("sky", None), ("sky", None), ("grass", None)]
    assert not DECIDED - {"label"} & rows(dataset)[0].keys()


def test_bulk_accept_by_class_and_margin(dataset: fo.Dataset) -> None:
    for number, row in enumerate(rows(dataset)):
        margin = {"$set": {"ssa.detections.$[m].vote_margin": number / 10}}
        samples_of(dataset).update_many({}, margin, array_filters=[{"m._id": row["_id"]}])
    told = review(dataset, "accept", class_name="sky", min_margin=0.4, dry_run=True)
    assert str(told) == "accepts 3 masks of 'sky' above margin 0.4 in 2 images"
    assert (told.token, Counter(said(dataset))[("sky", "accepted")]) == (None, 0)
    done = review(dataset, "accept", class_name="sky", min_margin=0.4)
    assert str(done) == "accepted 3 masks of 'sky' above margin 0.4 in 2 images"
    assert [place for place, (_, word) in enumerate(said(dataset)) if word] == [4, 6, 7]
    assert str(review(dataset, "accept", class_name="roof")) == "accepted no mask of 'roof'"


def test_filters_of_a_view_count(dataset: fo.Dataset) -> None:
    view = dataset.limit(2).filter_labels("ssa", F("label") == "grass")
    assert relabel(view, label="moss").masks == 2
    assert Counter(dataset.values("ssa.detections.label", unwind=True)) == {"sky": 6, "moss": 2, "grass": 1}


@pytest.mark.parametrize("make", ["to_patches", "evaluation"])
def test_patches_show_the_decision(dataset: fo.Dataset, make: str) -> None:
    if make == "to_patches":
        patches = dataset.to_patches("ssa")
    else:
        dataset.clone_sample_field("ssa", "truth")
        dataset.evaluate_detections("ssa", gt_field="truth", eval_key="eval")
        patches = dataset.to_evaluation_patches("eval")
    view = patches.limit(2)
    path = "ssa.label" if make == "to_patches" else "ssa.detections.label"
    chosen = view.values("ssa.id" if make == "to_patches" else "ssa.detections.id", unwind=make != "to_patches")
    assert relabel(view, label="kite").masks == len(chosen)
    for ids in ([row["_id"] for row in rows(dataset) if row["label"] == "kite"],):
        assert sorted(map(str, ids)) == sorted(chosen)
    assert view.values(path, unwind=True) == ["kite"] * len(chosen)
    assert Counter(patches.values(path, unwind=True))["kite"] == len(chosen)
    undo(patches)
    assert "kite" not in patches.values(path, unwind=True)
    with pytest.raises(InputError, match=r"shows patches of .*ssa.*, not of 'masks'"):
        review(patches, "accept", "masks")


def test_a_decision_under_a_later_one_can_be_taken_back_after_it(dataset: fo.Dataset) -> None:
    before = dataset.values("ssa.detections.label")
    first = relabel(dataset, label="kite")
    review(dataset, "reject")
    with pytest.raises(InputError, match="take back what came later first"):
        undo(dataset, token=first.token)
    undo(dataset)
    assert undo(dataset, token=first.token).masks == first.masks
    assert dataset.values("ssa.detections.label") == before


def test_what_is_open_is_not_reopened(dataset: fo.Dataset) -> None:
    review(dataset, "accept", ids=mask_ids(dataset, 0))
    assert review(dataset, "reopen").masks == 1
    assert review(dataset, "reopen").token is None


def test_ids_across_samples_and_ids_that_are_gone(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "ASKED_AT_A_TIME", 1)  # a million images do not fit one question, nor one answer
    gone = [str(ObjectId()) for _ in range(2)]
    done = review(dataset.limit(1), "reject", ids=[*mask_ids(dataset, 0, 5, 8), *gone])
    assert str(done) == "rejected 3 masks in 3 images; 2 masks are no longer there"
    with pytest.raises(InputError, match=r"none of the 2 masks is in 'ssa' of .*; they were deleted, or a run"):
        review(dataset, "accept", ids=gone)
    samples = dataset.values("id")
    assert review(dataset, "accept", ids=mask_ids(dataset, 0), sample_ids=samples[:1]).masks == 1
    with pytest.raises(InputError, match="none of the 1 mask is in"):
        review(dataset, "accept", ids=mask_ids(dataset, 0), sample_ids=samples[1:])


def test_undo_goes_back_one_by_one(dataset: fo.Dataset) -> None:
    start = rows(dataset)
    first = relabel(dataset, ids=mask_ids(dataset, 0, 3), label="kite")
    between = rows(dataset)
    second = review(dataset, "reject")
    assert str(undo(dataset, dry_run=True)) == "takes back 9 masks (reject) in 3 images"
    done = undo(dataset)
    assert (done.token, str(done)) == (second.token, "took back 9 masks (reject) in 3 images")
    assert rows(dataset) == between
    assert undo(dataset).token == first.token
    assert rows(dataset) == start
    with pytest.raises(InputError, match="there is nothing to take back on 'ssa'"):
        undo(dataset)
    with pytest.raises(InputError, match=rf"no decision '{first.token}' that is not taken back already"):
        undo(dataset, token=first.token)


def test_undo_leaves_what_others_changed_since(dataset: fo.Dataset) -> None:
    done = review(dataset, "accept")
    relabel(dataset, ids=mask_ids(dataset, 4), label="kite")
    dataset.delete_samples(dataset.last())
    taken = undo(dataset, token=done.token)
    assert str(taken) == "took back 5 masks (accept) in 2 images; 4 masks changed since stay"
    assert said(dataset)[4] == ("kite", "corrected")
    undo(dataset)
    assert said(dataset)[4] == ("sky", "accepted")


def test_an_undo_that_can_do_nothing_says_so_and_is_passed_over(dataset: fo.Dataset, name_masks: Run) -> None:
    review(dataset, "accept", ids=mask_ids(dataset, 0))
    relabel(dataset, ids=mask_ids(dataset, 4), label="kite")
    name_masks(dataset[1:2], "Other", overwrite="everything")
    with pytest.raises(InputError, match=r"the 1 mask of this decision changed since, or a run replaced"):
        undo(dataset)
    assert undo(dataset).action == "undo"
    assert said(dataset)[0] == ("sky", None)


def test_undo_after_a_run_rewrote_the_field(dataset: fo.Dataset, name_masks: Run) -> None:
    relabel(dataset, ids=mask_ids(dataset, 0), label="kite")
    assert name_masks(dataset, "Other", overwrite=True).kept == 1
    assert [label for label, _ in said(dataset)].count("kite") == 1
    assert undo(dataset).masks == 1
    assert Counter(said(dataset)) == {("sky", None): 1, ("roof", None): 5, ("wall", None): 3}


def test_classes_are_renamed_and_merged(dataset: fo.Dataset) -> None:
    review(dataset, "reject", ids=mask_ids(dataset, 0))
    overruled = review(dataset, "reject", dry_run=True)
    assert str(overruled) == "rejects 9 masks in 3 images; 1 of them was reviewed already"
    told = rename_classes(dataset, {"sky": "outside", "grass": "outside"}, dry_run=True)
    renames = "renames 9 masks (sky to outside: 6, grass to outside: 3) in 3 images"
    assert str(told) == f"{renames}; 1 of them was reviewed already"
    done = rename_classes(dataset.limit(1), {"sky": "grass", "grass": "sky"})
    assert done.masks == 3
    assert said(dataset)[:4] == [("grass", "rejected"), ("grass", "corrected"), ("sky", "corrected"), ("sky", None)]
    assert rename_classes(dataset, {"sky": "Sky"}).masks == 5  # a spelling may be changed
    undo(dataset)
    undo(dataset)
    assert said(dataset)[:4] == [("sky", "rejected"), ("sky", None), ("grass", None), ("sky", None)]


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({}, "mapping must be {old name: new name}, got {}"),
        ("sky", "mapping must be {old name: new name}, got 'sky'"),
        ({"sky": ""}, "a class name must not be empty"),
        ({"sky": "a\nb"}, "a class name is one line of plain text"),
        ({"sky": "sky"}, "'sky' would be renamed to itself"),
        ({"cow": "sky"}, "no mask here is named 'cow'"),
        ({3: "sky"}, "a class name must be text, got 3"),
    ],
)
def test_what_no_mapping_is(dataset: fo.Dataset, mapping: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        rename_classes(dataset, mapping)
    assert {word for _, word in said(dataset)} == {None}


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" sky ", "sky"),
        ("SKY", "sky"),
        ("s k y", "s k y"),
        ("Gr_ass", "Gr_ass"),
        ("tree  house", "tree  house"),
        ("e\u0301tang", "\u00e9tang"),
    ],
)
def test_typed_names(dataset: fo.Dataset, typed: str, stored: str) -> None:
    relabel(dataset, ids=mask_ids(dataset, 0), label=typed)
    assert rows(dataset)[0]["label"] == stored


def test_names_that_others_typed_are_known_where_there_are_no_maps(make_dataset: Make) -> None:
    dataset = make_dataset(2)
    relabel(dataset, "masks", ids=mask_ids(dataset, 0, field="masks"), label="Traffic light")
    done = relabel(dataset, "masks", ids=mask_ids(dataset, 1, field="masks"), label="traffic-light")
    assert done.note == "'traffic-light' is taken for 'Traffic light'"
    assert [label for label, _ in said(dataset, "masks")][:3] == ["Traffic light", "Traffic light", None]


def test_someone_elses_field(make_dataset: Make) -> None:
    dataset = make_dataset(1)
    dataset.set_values("masks.detections.label", [["a", "b", "c"]])
    assert review(dataset, "accept", "masks").masks == 3
    assert said(dataset, "masks") == [("a", "accepted"), ("b", "accepted"), ("c", "accepted")]
    assert dataset.count_values("masks.detections.review") == {"accepted": 3}  # declared: the sidebar shows it
    assert review(dataset, "reopen", "masks").masks == 3
    assert said(dataset, "masks") == [("a", None), ("b", None), ("c", None)]


def test_masks_on_disk(dataset: fo.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    save_png(np.full((20, 30), 255, np.uint8), path)
    (mask,) = mask_ids(dataset, 0)
    update = {"$set": {"ssa.detections.0.mask_path": str(path)}, "$unset": {"ssa.detections.0.mask": ""}}
    samples_of(dataset).update_one({"_id": ObjectId(dataset.first().id)}, update)
    assert relabel(dataset, ids=[mask], label="kite").masks == 1
    assert rows(dataset)[0]["mask_path"] == str(path)


def test_a_grouped_dataset(dataset: fo.Dataset) -> None:
    grouped = fo.Dataset()
    grouped.add_group_field("group", default="left")
    group = fo.Group()
    detections = [sample.ssa.copy() for sample in dataset]
    grouped.add_samples(
        [
            fo.Sample(filepath=sample.filepath, group=group.element(name), ssa=label)
            for sample, name, label in zip(dataset, ("left", "right"), detections, strict=False)
        ]
    )
    assert review(grouped, "accept").masks == 3  # the slice that is shown
    right = grouped.select_group_slices("right")
    ids = right.values("ssa.detections.id", unwind=True)
    assert review(grouped, "reject", ids=ids[:1]).masks == 1  # ids count wherever they are
    assert right.values("ssa.detections.review", unwind=True) == ["rejected", None, None]


def test_frames_are_refused(dataset: fo.Dataset) -> None:
    for samples, sentence in (("ssa", "samples must be a FiftyOne dataset or view, got str"), (None, "got NoneType")):
        with pytest.raises(InputError, match=sentence):
            review(samples, "accept")
    with pytest.raises(InputError, match=r"label_field must be a Detections field of .*, got 'ssa_semantic'; it has"):
        review(dataset, "accept", "ssa_semantic")


def test_a_decision_while_a_run_overwrites_is_kept(dataset: fo.Dataset, name_masks: Run) -> None:
    """A curator decides without end while a run replaces every mask of the field."""
    stop, kept, lost = threading.Event(), set(), []

    def decide() -> None:
        while not stop.is_set():
            for row in [row for row in rows(dataset) if row["_id"] not in kept][:1]:
                try:
                    relabel(dataset, ids=[str(row["_id"])], label="kite")
                    kept.add(row["_id"])
                except InputError:
                    lost.append(row["_id"])  # the run replaced it first, and the curator was told

    person = threading.Thread(target=decide)
    person.start()
    try:
        for segmenter in ("Other", "Halves", "Turned"):
            name_masks(dataset, segmenter, overwrite=True)
    finally:
        stop.set()
        person.join()
    after = {row["_id"]: row for row in rows(dataset)}
    assert len(kept) >= 3
    assert {after[mask]["label"] for mask in kept} == {"kite"}
    assert not kept & set(lost)


def test_two_people_at_one_image_lose_nothing(dataset: fo.Dataset) -> None:
    ids = mask_ids(dataset, 0, 1, 2)
    errors: list[BaseException] = []

    def name(mask: str) -> None:
        try:
            for turn in range(10):
                relabel(dataset, ids=[mask], label=f"{mask} {turn}")
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    people = [threading.Thread(target=name, args=(mask,)) for mask in ids]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert errors == []
    assert [label for label, _ in said(dataset)][:3] == [f"{mask} 9" for mask in ids]
    for _ in range(30):
        undo(dataset)
    assert [label for label, _ in said(dataset)][:3] == ["sky", "sky", "grass"]


def test_a_sample_that_changes_while_it_is_written(fresh: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (mask, other) = mask_ids(fresh, 0, 1)
    read, nested = deciding._Writer._read, []

    def late(self: Any, samples: Any) -> Any:
        found = read(self, samples)
        if not nested:
            nested.append(True)
            relabel(fresh, ids=[mask, other], label="bird")
        return found

    monkeypatch.setattr(deciding._Writer, "_read", late)
    relabel(fresh, ids=[mask], label="kite")
    assert said(fresh)[:2] == [("kite", "corrected"), ("bird", "corrected")]
    undo(fresh)
    assert said(fresh)[:2] == [("bird", "corrected"), ("bird", "corrected")]
    assert own_collection("decisions").count_documents({"sample": ObjectId(fresh.first().id)}) == 2


def test_what_was_decided_in_datasets_that_are_gone_is_forgotten(dataset: fo.Dataset, make_dataset: Make) -> None:
    other = make_dataset(1)
    review(other, "accept", "masks")
    review(dataset, "accept")
    gone = other._doc.id
    other.delete()
    assert own_collection("decisions").count_documents({"dataset": gone}) == 1
    clean(dataset)
    assert own_collection("decisions").count_documents({"dataset": gone}) == 0
    assert undo(dataset).masks == 9


def test_no_two_changes_of_a_sample_have_one_date(dataset: fo.Dataset) -> None:
    dates = []
    for turn in range(12):
        relabel(dataset, ids=mask_ids(dataset, 0), sample_ids=[dataset.first().id], label=f"kite {turn}")
        dates.append(samples_of(dataset).find_one()["last_modified_at"])
    assert len(set(dates)) == 12
    assert dates == sorted(dates)


def test_labels_of_another_form_are_passed_over(dataset: fo.Dataset) -> None:
    ids = [ObjectId(value) for value in dataset.values("id")]
    for sample, label in zip(ids, ("no label", {"_cls": "Detections", "detections": "none"}), strict=False):
        samples_of(dataset).update_one({"_id": sample}, {"$set": {"ssa": label}})
    samples_of(dataset).update_one({"_id": ids[2]}, {"$set": {"ssa.detections.0.class_proposals": "kite"}})
    assert review(dataset, "accept").masks == 3
    masks = [row["_id"] for row in samples_of(dataset).find_one({"_id": ids[2]})["ssa"]["detections"]]
    assert review(dataset, "reject", ids=masks, sample_ids=ids).masks == 3
    assert relabel(dataset, proposal=1).masks == 2


def test_a_margin_of_broken_numbers_is_unknown() -> None:
    for row, margin in (
        ({"vote_margin": 0.5, "proposal_scores": [0.9, 0.1]}, 0.5),
        ({"vote_margin": float("nan"), "proposal_scores": [0.75, 0.25]}, 0.5),
        ({"proposal_scores": [0.9, None]}, None),
        ({"proposal_scores": "high"}, None),
        ({"vote_margin": "wide"}, None),
    ):
        assert margin_of(row) == margin
