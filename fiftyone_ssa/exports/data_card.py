"""The data card of an export, as Markdown and JSON: what is in it, who saw it, what made it, what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fiftyone_ssa.exports.card_counts import CardCounts
from fiftyone_ssa.exports.card_sources import UNKNOWN, data_of, evaluations_of, presets_of
from fiftyone_ssa.exports.export_run import ExportSummary
from fiftyone_ssa.exports.image_masks import Choice
from fiftyone_ssa.exports.sources import Source
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, OPEN

MARKDOWN_FILE, JSON_FILE = "DATA_CARD.md", "data_card.json"

_COLUMNS = {
    "masks": "masks",
    "images": "images",
    "mean_area_px": "mean area (px)",
    "mean_confidence": "mean confidence",
    ACCEPTED: ACCEPTED,
    CORRECTED: CORRECTED,
    OPEN: OPEN,
}
"""What the table of classes shows, to its heading."""


def data_card(
    source: Source,
    format: str,
    summary: ExportSummary,
    counts: CardCounts,
    choice: Choice,
    ontology: Any = None,
) -> dict[str, Any]:
    """The card as JSON's own types.

    Args:
        source: what was exported
        format: the format's name
        summary: what was written and left out
        counts: what was counted meanwhile
        choice: which masks were chosen
        ontology (None): the Ontology whose classes they are

    Returns:
        the card; what nobody recorded is "unknown" or an empty list
    """
    total = counts.total
    reviewed = total.states[ACCEPTED] + total.states[CORRECTED]
    return {
        "title": f"{source.label_field} of {source.name}",
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": format,
        "images": {"all": counts.images, "without_masks": counts.empty_images, "splits": dict(summary.splits)},
        "masks": total.to_json(),
        "reviewed_share": round(reviewed / total.masks, 4) if total.masks else None,
        "corrected_share": round(total.states[CORRECTED] / total.masks, 4) if total.masks else None,
        "reviewed_by": dict(counts.people.most_common()),
        "left_out": _left_out(summary),
        "chosen": {
            "min_confidence": choice.min_confidence,
            "min_area_px": choice.min_area_px,
            "unreviewed": choice.unreviewed,
        },
        "classes": {name: counts.classes[name].to_json() for name in sorted(counts.classes)},
        "ontology": None if ontology is None else _ontology(ontology),
        "presets": presets_of(source),
        "evaluations": evaluations_of(source),
        "loss": None if summary.loss is None else summary.loss.to_json()["total"],
        "data": data_of(source),
    }


def card_texts(card: Mapping[str, Any]) -> dict[str, str]:
    """File name to content of a card."""
    return {
        JSON_FILE: json.dumps(card, ensure_ascii=False, indent=1) + "\n",
        MARKDOWN_FILE: markdown(card),
    }


def markdown(card: Mapping[str, Any]) -> str:
    """A card for people."""
    images, masks = card["images"], card["masks"]
    splits = "; ".join(f"{name} {number:,}" for name, number in images["splits"].items())
    rows = sorted(card["classes"].items(), key=lambda item: (-item[1]["masks"], item[0]))
    lines = [
        f"# {_plain(card['title'])}",
        "",
        f"{masks['masks']:,} masks of {len(card['classes']):,} classes in {images['all']:,} images"
        + (f" ({splits})" if splits else "")
        + f", written {card['written']} as {card['format']} by fiftyone-ssa.",
        "",
        *_section("Review", _review(card)),
        *_section("Where names come from", [f"{name}: {number:,}" for name, number in masks["sources"].items()]),
        *_section("Left out", [f"{name}: {number:,}" for name, number in card["left_out"].items()]),
        *_section("Chosen", _chosen(card)),
        "## Classes",
        "",
        *_table(("class", *_COLUMNS.values()), [(name, *(row[key] for key in _COLUMNS)) for name, row in rows]),
        *_section("Models", list(_models(card["presets"]))),
        *_section("Evaluation", list(_evaluations(card["evaluations"]))),
        *_section("What the format lost", _loss(card["loss"])),
        *_section("Images", [f"{_plain(key)}: {_plain(value)}" for key, value in card["data"].items()]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _left_out(summary: ExportSummary) -> dict[str, int]:
    names = ("rejected", "unlabelled", "without_mask", "other_class", "below", "unreviewed", "failed_masks")
    found = {name: int(getattr(summary, name)) for name in (*names, "without_split", "deleted")}
    return {name: number for name, number in {**found, "failed_images": len(summary.errors)}.items() if number}


def _ontology(ontology: Any) -> dict[str, Any]:
    return {
        "classes": len(ontology.classes),
        "others": ontology.others,
        "synonyms": {entry.name: list(entry.synonyms) for entry in ontology.classes if entry.synonyms},
    }


def _review(card: Mapping[str, Any]) -> list[str]:
    masks, share = card["masks"], card["reviewed_share"]
    if share is None:
        return ["no masks"]
    people = ", ".join(f"{_plain(name)} {number:,}" for name, number in card["reviewed_by"].items())
    return [
        f"reviewed by people: {share:.1%} ({masks[ACCEPTED]:,} accepted, {masks[CORRECTED]:,} corrected)",
        f"corrected: {card['corrected_share']:.1%}",
        f"not reviewed: {masks[OPEN]:,}",
        *([f"in other tools by {people}"] if people else []),
    ]


def _chosen(card: Mapping[str, Any]) -> list[str]:
    chosen, ontology = card["chosen"], card["ontology"]
    lines = [
        f"confidence from {chosen['min_confidence']:g}, {chosen['min_area_px']:,} pixels or more, "
        + ("reviewed or not" if chosen["unreviewed"] else "reviewed masks only")
    ]
    if ontology is not None:
        others = ontology["others"]
        lines.append(f"an ontology of {ontology['classes']} classes" + (f", others are {others}" if others else ""))
    return lines


def _models(presets: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not presets:
        yield "nobody recorded what made these masks and names"
    for preset in presets:
        yield f"{_plain(preset['preset'])}, settings {preset['fingerprint']}, {preset['images']:,} images"
        for model in preset["models"]:
            yield f"  {model['slot']}: {_plain(model['model'])}, {model['revision']}, licence {model['licence']}"
        thresholds = ", ".join(f"{key} {value:g}" for key, value in preset.get("thresholds", {}).items())
        if thresholds:
            yield f"  {thresholds}"


def _evaluations(evaluations: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not evaluations:
        yield "none stored for this field"
    for row in evaluations:
        scores = ", ".join(f"{name} {row[name]:.4f}" for name in ("mIoU", "aAcc", "mAcc") if row[name] is not None)
        fields = f"{_plain(row['predictions'])} against {_plain(row['ground_truth'])}"
        yield f"{fields} on {row['images']:,} images: {scores}"


def _loss(loss: Mapping[str, Any] | None) -> list[str]:
    if loss is None:
        return [UNKNOWN]
    names = ("changed", "dropped", "holes", "islands", "overlaps_px", "confidence", "proposals", "attributes")
    told = [f"{name.replace('_px', ' (px)')}: {loss[name]:,}" for name in names if loss.get(name)]
    return [*told, f"IoU of masks as read back: mean {loss['iou_mean']}, least {loss['iou_min']}"]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    items = [f"  - {line.strip()}" if line.startswith("  ") else f"- {line}" for line in lines]
    return [f"## {title}", "", *items, ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [["" if value is None else _plain(value) for value in row] for row in rows]
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in cells),
        "",
    ]


def _plain(value: Any) -> str:
    """A value in a line of Markdown: names may hold anything."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    text = " ".join(text.split())
    for mark in ("\\", "|", "<", ">", "`", "*", "[", "]"):
        text = text.replace(mark, "\\" + mark)
    return text
