"""An ontology decides stored masks again, touches nothing of a person's, and is taken back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa import Ontology
from fiftyone_ssa.curation.decisions import relabel, review
from fiftyone_ssa.curation.ontology_app import offer_classes
from fiftyone_ssa.curation.ontology_journal import undo_ontology
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.documents import NAME_ATTRIBUTES, declare_detections, mask_set_from_detections
from fiftyone_ssa.layouts.ontology import OntologyClass

Make = Callable[..., fo.Dataset]
STREET = Ontology(
    (
        OntologyClass("car", 7, synonyms=("automobile", "van"), parent="vehicle", colour="#123456"),
        OntologyClass("sky", 2, is_thing=False, colour="#0000ff"),
    ),
    others="other",
    name="street",
)
SAID = (
    ("sedan", ["sedan", "automobile", "van"], [0.5, 0.2, 0.2], 0.4),
    ("sky", ["sky", "tree"], [0.9, 0.1], 0.8),
    ("tree", ["tree", "bush"], [0.7, 0.3], 0.7),
)


@pytest.fixture
def dataset(make_dataset: Make) -> fo.Dataset:
    """Three images, each with a sedan that may be an automobile or a van, a sky and a tree."""
    made = make_dataset(3)
    declare_detections(made, "ssa", [*NAME_ATTRIBUTES, "area"])
    for document in samples_of(made).find({}, {"masks": 1}):
        label = document["masks"]
        for row, (name, names, scores, confidence) in zip(label["detections"], SAID, strict=True):
            row |= {"label": name, "class_name": name, "class_proposals": names, "proposal_scores": scores}
            row |= {"confidence": confidence}
        samples_of(made).update_one({"_id": document["_id"]}, {"$set": {"ssa": label}})
    made.reload()
    return made


def rows(dataset: fo.Dataset, field: str) -> list[dict[str, Any]]:
    found = samples_of(dataset).find({}, {field: 1}).sort("_id")
    return [row for document in found for row in (document.get(field) or {}).get("detections") or []]


def test_masks_get_their_classes_in_a_new_field_and_the_old_one_stays(dataset: fo.Dataset) -> None:
    before = rows(dataset, "ssa")
    done = STREET.apply(dataset, "ssa", to="street")
    assert (done.masks, done.samples, done.renamed, done.others, done.persons) == (9, 3, 6, 3, 0)
    assert done.classes == {"car": 3, "sky": 3, "other": 3}
    assert rows(dataset, "ssa") == before
    car, sky, tree = rows(dataset, "street")[:3]
    assert (car["label"], car["class_name"], car["said_label"]) == ("car", "car", "sedan")
    # "sedan" means none of the classes
    assert car["class_proposals"] == ["car", "other"]
    assert car["proposal_scores"] == pytest.approx([0.4, 0.5])
    assert car["confidence"] == pytest.approx(0.4 * 0.4 / 0.5)
    assert (sky["label"], sky["confidence"]) == ("sky", 0.8)
    assert (tree["label"], tree["class_proposals"]) == ("other", ["other"])
    assert tree["proposal_scores"] == [pytest.approx(1.0)]
    assert {row["_id"] for row in before}.isdisjoint(row["_id"] for row in rows(dataset, "street"))
    assert [row["said_id"] for row in rows(dataset, "street")] == [str(row["_id"]) for row in before]
    dataset.reload()
    size = (64, 96)
    for sample in dataset:
        old, new = (mask_set_from_detections(sample[field], size) for field in ("ssa", "street"))
        assert old.rles == new.rles
    assert dataset.count_values("street.detections.label") == {"car": 3, "sky": 3, "other": 3}


def test_an_attribute_holds_the_classes_instead(dataset: fo.Dataset) -> None:
    before = rows(dataset, "ssa")
    place = "ssa.detections.wanted"
    done = STREET.apply(dataset, "ssa", to=place)
    after = rows(dataset, "ssa")
    assert [row.pop("wanted") for row in after] == ["car", "sky", "other"] * 3
    assert after == before
    assert dataset.count_values(place) == {"car": 3, "sky": 3, "other": 3}
    with pytest.raises(InputError, match="holds labels in 3 images"):
        STREET.apply(dataset, "ssa", to=place)
    again = Ontology.of(["tree"]).apply(dataset, "ssa", to=place, overwrite=True)
    assert [row["wanted"] for row in rows(dataset, "ssa")] == ["sedan", "sky", "tree"] * 3
    assert undo_ontology(dataset, place).token == again.token
    assert [row["wanted"] for row in rows(dataset, "ssa")] == ["car", "sky", "other"] * 3
    assert undo_ontology(dataset, place, done.token).samples == 3
    assert rows(dataset, "ssa") == before


def test_what_people_said_stays(dataset: fo.Dataset) -> None:
    ids = [str(row["_id"]) for row in rows(dataset, "ssa")]
    relabel(dataset, ids=ids[:1], label="lorry")
    review(dataset, "accept", ids=ids[3:4])
    review(dataset, "reject", ids=ids[6:7])
    done = STREET.apply(dataset, "ssa", to="street")
    assert done.persons == 3
    found = [(row["label"], row.get("review")) for row in rows(dataset, "street")]
    assert found[::3] == [("lorry", "corrected"), ("sedan", "accepted"), ("sedan", "rejected")]


def test_applied_again_it_keeps_what_people_did_in_the_new_field(dataset: fo.Dataset) -> None:
    STREET.apply(dataset, "ssa", to="street")
    first = rows(dataset, "street")
    relabel(dataset, "street", ids=[str(first[0]["_id"])], label="bus")
    with pytest.raises(InputError, match="overwrite=True"):
        STREET.apply(dataset, "ssa", to="street")
    done = Ontology.of(["tree"]).apply(dataset, "ssa", to="street", overwrite=True)
    assert (done.persons, done.classes["bus"]) == (1, 1)
    second = rows(dataset, "street")
    assert [row["label"] for row in second[:4]] == ["bus", "sky", "tree", "sedan"]
    assert second[0]["_id"] == first[0]["_id"]
    undone = undo_ontology(dataset, "street")
    assert (undone.samples, undone.changed) == (3, 0)
    assert [row["label"] for row in rows(dataset, "street")[:4]] == ["bus", "sky", "other", "car"]


def redraw(dataset: fo.Dataset, field: str, place: int) -> bytes:
    """Turn the first row of one mask of the first image around, as a person who draws; answers how it is stored."""
    dataset.reload()
    sample = dataset.first()
    mask = sample[field].detections[place].mask.copy()
    mask[0] = ~mask[0]
    sample[field].detections[place].mask = mask
    sample.save()
    return bytes(rows(dataset, field)[place]["mask"])


@pytest.mark.parametrize("source", ["ssa", "masks"])
def test_applied_again_it_keeps_what_was_redrawn_or_drawn_there(dataset: fo.Dataset, source: str) -> None:
    STREET.apply(dataset, source, to="street")
    first = rows(dataset, "street")
    drawn = redraw(dataset, "street", 0)
    sample = dataset.first()
    sample.street.detections.append(fo.Detection(label="lamp", bounding_box=[0, 0, 0.5, 0.5]))
    sample.save()
    of_source = redraw(dataset, source, 1)
    for _ in range(2):
        Ontology.of(["tree"]).apply(dataset, source, to="street", overwrite=True)
        second = rows(dataset, "street")
        assert (second[0]["_id"], bytes(second[0]["mask"]), second[0].get("label")) == (
            first[0]["_id"],
            drawn,
            first[0].get("label"),
        )
        assert bytes(second[1]["mask"]) == of_source  # redrawn in the source: the copy is of it as it is now
        assert second[3]["label"] == "lamp"
        assert second[4]["_id"] != first[3]["_id"]


def test_an_attribute_that_a_person_changed_stays(dataset: fo.Dataset) -> None:
    place = "ssa.detections.wanted"
    STREET.apply(dataset, "ssa", to=place)
    dataset.reload()
    sample = dataset.first()
    sample.ssa.detections[0]["wanted"] = "lorry"
    sample.save()
    for _ in range(2):
        done = Ontology.of(["tree"]).apply(dataset, "ssa", to=place, overwrite=True)
        assert (done.masks, done.persons) == (9, 1)
        assert [row["wanted"] for row in rows(dataset, "ssa")][:4] == ["lorry", "sky", "tree", "sedan"]
        undo_ontology(dataset, place)
    assert [row["wanted"] for row in rows(dataset, "ssa")][:4] == ["lorry", "sky", "other", "car"]


def test_it_is_taken_back_and_the_empty_field_goes(dataset: fo.Dataset) -> None:
    with pytest.raises(InputError, match="no ontology was applied"):
        undo_ontology(dataset, "street")
    STREET.apply(dataset[:2], "ssa", to="street")
    assert str(undo_ontology(dataset, "street")) == "took back the classes of 2 images in 'street'"
    dataset.reload()
    assert not dataset.has_sample_field("street")
    token = STREET.apply(dataset, "ssa", to="street").token
    dataset.reload()
    review(dataset.limit(1), "accept", "street")
    assert str(undo_ontology(dataset, "street", token)).endswith("; 1 image changed since stay")
    dataset.reload()
    assert [len(label.detections) if label else 0 for label in dataset.values("street")] == [3, 0, 0]


def test_a_mask_that_was_redrawn_since_is_not_taken_back(dataset: fo.Dataset) -> None:
    STREET.apply(dataset, "ssa", to="street")
    dataset.reload()
    sample = dataset.first()
    mask = sample.street.detections[0].mask.copy()
    mask[0] = ~mask[0]
    sample.street.detections[0].mask = mask
    sample.save()
    undone = undo_ontology(dataset, "street")
    assert (undone.samples, undone.changed) == (2, 1)
    dataset.reload()
    assert (dataset.first().street.detections[0].mask == mask).all()


def test_a_view_says_which_masks(dataset: fo.Dataset) -> None:
    view = dataset.limit(2).filter_labels("ssa", F("label") != "sky")
    assert STREET.apply(view, "ssa", to="street", dry_run=True).masks == 4
    dataset.reload()
    assert not dataset.has_sample_field("street")
    assert STREET.apply(view, "ssa", to="street").masks == 4
    assert [row["label"] for row in rows(dataset, "street")] == ["car", "other"] * 2
    patches = dataset.to_patches("ssa").match(F("ssa.label") == "sky")
    assert STREET.apply(patches, "ssa", to="ssa.detections.wanted").classes == {"sky": 3}
    with pytest.raises(InputError, match="takes whole images"):
        STREET.apply(patches, "ssa", to="other_field")


def test_links_between_masks_are_to_the_copies(dataset: fo.Dataset) -> None:
    dataset.add_sample_field("ssa.detections.parent", fo.StringField)
    sample = dataset.first()
    whole, part, far = sample.ssa.detections
    part["parent"], far["parent"] = whole.id, "5f" * 12
    sample.save()
    STREET.apply(dataset.limit(1), "ssa", to="street")
    new = rows(dataset, "street")
    assert new[1]["parent"] == str(new[0]["_id"])
    assert "parent" not in new[2]


def test_a_sample_that_is_too_large_costs_itself_only(dataset: fo.Dataset) -> None:
    first = samples_of(dataset).find_one({}, sort=[("_id", 1)])
    place = {"ssa.detections.0.mask": os.urandom(9_000_000)}  # twice as much is more than a document holds
    samples_of(dataset).update_one({"_id": first["_id"]}, {"$set": place})
    done = STREET.apply(dataset, "ssa", to="street")
    assert list(done.errors) == [first["filepath"]]
    assert "write an attribute instead: to=ssa.detections.NAME" in done.errors[first["filepath"]]
    assert (done.masks, done.samples) == (6, 2)
    assert len(rows(dataset, "street")) == 6
    assert undo_ontology(dataset, "street").samples == 2


def test_the_editor_offers_the_classes(dataset: fo.Dataset) -> None:
    STREET.apply(dataset, "ssa", to="street")
    dataset.reload()
    schema = dataset.label_schemas["street"]
    assert schema["classes"] == ["car", "sky", "other"]
    assert "street" in dataset.active_label_schemas
    colours = next(entry for entry in dataset.app_config.color_scheme.fields if entry["path"] == "street")
    assert {"value": "car", "color": "#123456"} in colours["valueColors"]
    if hasattr(fo, "Taxonomy"):
        found = fo.load_ontology(fo.load_ontology(schema["applied_ontology"]).taxonomy)
        assert [(node.name, node.can_select) for node in found.root.values] == [
            ("vehicle", False),
            ("sky", True),
            ("other", True),
        ]
        assert [node.name for node in found.root.values[0].values] == ["car"]
        Ontology.of(["tree"]).apply(dataset, "ssa", to="street", overwrite=True)
        assert [node.name for node in fo.load_ontology(found.name).root.values] == ["tree"]
        assert dataset.label_schemas["street"]["classes"] == ["tree"]
        undo_ontology(dataset, "street")
        undo_ontology(dataset, "street")
        assert not fo.ontology_exists(found.name)


@pytest.mark.skipif(not hasattr(fo, "Taxonomy"), reason="this FiftyOne has no taxonomies")
def test_classes_may_belong_to_what_is_left_over(dataset: fo.Dataset) -> None:
    classes = (OntologyClass("car", 1, parent="other"), OntologyClass("sky", 2))
    offer_classes(dataset, "ssa", Ontology(classes, others="other"))
    dataset.reload()
    found = fo.load_ontology(fo.load_ontology(dataset.label_schemas["ssa"]["applied_ontology"]).taxonomy)
    assert [(node.name, node.can_select) for node in found.root.values] == [("other", True), ("sky", True)]
    assert [node.name for node in found.root.values[0].values] == ["car"]


def test_bad_arguments_are_refused(dataset: fo.Dataset) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "to must be a new field": {"to": "ssa"},
        "must be a name of at most": {"to": "masks.detections.x"},
        "is what SSA says of a mask": {"to": "ssa.detections.label"},
        "holds no text": {"to": "ssa.detections.area"},
        "'filepath' is there already": {"to": "filepath"},
        "that starts with a letter, got 3": {"to": 3},
        "min_share must be a number from 0 to 1": {"to": "x", "min_share": 2},
        "overwrite": {"to": "x", "overwrite": "no"},
        "label_field must be a Detections field": {"label_field": "none", "to": "x"},
    }
    for told, options in wrong.items():
        with pytest.raises(InputError, match=told):
            STREET.apply(dataset, **options)
