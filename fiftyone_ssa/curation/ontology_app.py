"""An ontology in the App: its classes in the editor, as FiftyOne's taxonomy where it has that, and its colours."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import fiftyone as fo
from mongoengine.errors import MongoEngineException
from pymongo.errors import PyMongoError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.appearance import MOST_NAMES, WAIT_SECONDS
from fiftyone_ssa.labels.database import needs_database, refresh, root_dataset
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.own_settings import OwnSettings
from fiftyone_ssa.layouts.colours import UNNAMED, colour_of
from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass

logger = logging.getLogger(__name__)
BY_US = "written by fiftyone-ssa from an ontology"


@needs_database()
def offer_classes(samples: Any, label_field: str, ontology: Ontology) -> None:
    """Let the App's editor offer an ontology's classes for a field, and draw them in its colours.

    FiftyOne 1.22 and later gets a `Taxonomy` of the classes under their parents, in an `AnnotationOntology` of the
    field's label schema; earlier ones get the list of classes. What a person set of these stays.

    Args:
        samples: a dataset or view
        label_field: a Detections field
        ontology: the classes

    Raises InputError if there is no such field, or if another process sets the same for longer than half a minute.
    """
    dataset = root_dataset(samples)
    with hold(dataset, SCHEMA, wait_seconds=WAIT_SECONDS):
        refresh(dataset)
        if label_field not in dataset.get_field_schema(embedded_doc_type=fo.Detections):
            raise InputError(f"{dataset.name!r} has no Detections field {label_field!r}; apply an ontology to it first")
        ours = OwnSettings(dataset)
        _set_colours(dataset, label_field, ours, ontology)
        dataset.save()
        _set_schema(dataset, label_field, ours, ontology)
        ours.save()


def try_to_offer_classes(dataset: fo.Dataset, label_field: str, ontology: Ontology) -> None:
    """`offer_classes` after labels are written, which must not seem to have failed for their looks."""
    try:
        offer_classes(dataset, label_field, ontology)
    except (InputError, PyMongoError, MongoEngineException, ValueError, ExceptionGroup) as error:
        logger.warning("the classes are written, but the App's editor does not offer them: %s", error)


def forget_classes(dataset: fo.Dataset, label_field: str) -> None:
    """Delete FiftyOne's ontology and taxonomy of a field that is gone."""
    if hasattr(fo, "AnnotationOntology"):
        name = _name(dataset, label_field)
        for each in (name, f"classes of {name}"):
            if fo.ontology_exists(each) and fo.load_ontology(each).description == BY_US:
                fo.delete_ontology(each, force=True)


def _name(dataset: fo.Dataset, field: str) -> str:
    """FiftyOne's ontologies belong to no dataset, so that the name has to say whose they are."""
    return f"{field} in {dataset.name}"


def _set_colours(dataset: fo.Dataset, field: str, ours: OwnSettings, ontology: Ontology) -> None:
    scheme = dataset.app_config.color_scheme or fo.ColorScheme()
    entries = [dict(entry) for entry in scheme.fields or []]
    present = next((entry for entry in entries if entry.get("path") == field), None)
    colours = {entry.name: entry.colour or colour_of(entry.name) for entry in ontology.classes}
    listed = [{"value": "none", "color": UNNAMED}]
    listed += [{"value": name, "color": colours.get(name, UNNAMED)} for name in ontology.names[:MOST_NAMES]]
    before = (present or {}).get("valueColors") or []  # of names that mean no class, and stay
    known = {row["value"] for row in listed}
    listed += [row for row in before if row["value"] not in known][: max(0, MOST_NAMES - len(listed) + 1)]
    wanted = {"path": field, "colorByAttribute": "label", "valueColors": listed}
    if _may_set(ours, "colours", field, present, wanted):
        scheme.fields = [entry for entry in entries if entry.get("path") != field] + [wanted]
        dataset.app_config.color_scheme = scheme


def _set_schema(dataset: fo.Dataset, field: str, ours: OwnSettings, ontology: Ontology) -> None:
    if dataset.media_type != "image":
        return
    present = dataset.label_schemas.get(field)
    classes = list(ontology.names)
    wanted: dict[str, Any] = {"type": "detections", "component": "text", "attributes": []}
    if len(classes) <= MOST_NAMES:
        wanted |= {"component": "dropdown", "classes": classes}
    if hasattr(fo, "AnnotationOntology"):
        wanted["applied_ontology"] = _name(dataset, field)
    if not ours.is_ours(f"ontology schema:{field}", present) and not ours.is_ours(f"schema:{field}", present):
        return
    if "applied_ontology" in wanted:  # which may hold other classes than before, under the same name
        _save_taxonomy(wanted["applied_ontology"], ontology)
    if _may_set(ours, "schema", field, present, wanted):
        dataset.update_label_schema(field, wanted)
        dataset.activate_label_schemas([field])


def _may_set(ours: OwnSettings, what: str, field: str, present: Any, wanted: Any) -> bool:
    """Whether a setting is nobody's, an earlier ontology's, or the one of the names that were there before.

    It is kept under a key of its own, so that names which come later do not replace it.
    """
    if ours.is_ours(f"{what}:{field}", present):
        ours.keep(f"ontology {what}:{field}", wanted)
        return bool(present != wanted)
    return ours.offer(f"ontology {what}:{field}", present, wanted)


def _save_taxonomy(name: str, ontology: Ontology) -> None:
    """Save an ontology's classes as FiftyOne's, as a new version where we saved it before."""
    taxonomy = fo.Taxonomy(f"classes of {name}", root=_tree(ontology), description=BY_US)
    taxonomy.save(overwrite=True)
    fo.AnnotationOntology(name, description=BY_US, taxonomy=taxonomy).save(overwrite=True)


def _tree(ontology: Ontology) -> Any:
    """FiftyOne's tree of nodes: a parent that is no class is a heading, which cannot be chosen."""
    children: dict[str | None, list[OntologyClass]] = {}
    for entry in ontology.classes:
        children.setdefault(entry.parent, []).append(entry)
    known = {entry.name for entry in ontology.classes}
    headings = [name for name in children if name is not None and name not in known]

    def nodes(entries: Iterable[OntologyClass]) -> list[Any]:
        return [node(entry.name, ", ".join(entry.names[1:])) for entry in entries]

    def node(name: str, told: str = "", *, can_select: bool = True) -> Any:
        below = nodes(children.get(name, ()))
        return fo.Node(name=name, description=told or None, can_select=can_select, values=below or None)

    others = ontology.others
    rest = [node(others)] if others is not None and others not in (*known, *headings) else []
    top = [node(name, can_select=name == others) for name in headings] + nodes(children.get(None, ())) + rest
    return fo.Node(name=f"{ontology.name} (all)", can_select=False, values=top)
