"""Curating a subset by class in the App only, from loading to export: the pictures of docs/app.md are made by this."""

import json
import re
from collections import Counter

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

pytest.importorskip("playwright", reason="needs playwright (pip install playwright)")
from playwright.sync_api import TimeoutError

from fiftyone_ssa.curation.queue import review_queue
from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels.jobs import jobs
from fiftyone_ssa.layouts import ade20k
from fiftyone_ssa.quickstart.run import draw
from tools.app import fill_field, finished, open_form, open_panel, press, run_operator, settle, visit, wait_until

pytestmark = pytest.mark.browser
SEEDS = range(4, 10)
NAME = "drawn"
REVIEWED = 6


@pytest.fixture
def folder(tmp_path):
    """Six drawn scenes as ADE20K lays its images and their truth out."""
    root = tmp_path / "ADEChallengeData2016"
    for part in ("images/validation", "annotations/validation"):
        (root / part).mkdir(parents=True)
    for seed in SEEDS:
        scene = draw(seed)
        truth = scene.semantic("ade20k")
        values = [ade20k.NAMES.index(name) + 1 for name in truth.names]
        values = np.array([*values, *[0] * (256 - len(values))], np.uint8)  # 255 is nothing, which is 0 in ADE20K
        PIL.Image.fromarray(scene.image).save(root / f"images/validation/{seed}.jpg", quality=95)
        PIL.Image.fromarray(values[truth.ids]).save(root / f"annotations/validation/{seed}.png")
    yield root
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)


@pytest.fixture
def other(folder):
    """What the App has open before anything is loaded."""
    dataset = fo.Dataset("other", persistent=True)
    dataset.add_sample(fo.Sample(filepath=str(folder / f"images/validation/{SEEDS[0]}.jpg")))
    yield dataset
    dataset.delete()


def test_a_folder_is_loaded_and_its_masks_are_named(app, session, other, folder, shot):
    page = app(other)
    name_masks(page, load(page, session, folder, shot), shot)


def test_a_subset_is_curated_by_class_from_filter_to_export(app, scenes, tmp_path, shot):
    page = app(scenes)
    panel = open_panel(page, "Masks")
    truths = {mask.id: true_name(sample, mask) for sample in scenes for mask in sample.ssa.detections}
    chosen = most_often_wrong(scenes, truths)
    filter_by_class(page, scenes, panel, chosen, shot)
    review(page, scenes, panel, chosen, truths, shot)
    accept_the_rest(page, scenes, chosen, shot)
    repaint_and_evaluate(page, scenes, panel, shot)
    export(page, scenes, chosen, tmp_path / "exported", shot)


def load(page, session, folder, shot):
    """Load the folder: the App opens the new dataset by itself, where that takes no longer than the request waits."""
    form = open_form(page, "SSA: load a dataset", {"What it is": "ADE20K", "Folder": str(folder), "Name": NAME})
    shot(page, "flow-1-load")
    press(page, form)
    wait_until(lambda: fo.dataset_exists(NAME), "nothing is loaded", 60, page)
    dataset = fo.load_dataset(NAME)
    try:
        page.wait_for_url(f"**/datasets/{NAME}*", timeout=15_000)
    except TimeoutError:
        visit(page, session, dataset)
    page.locator('[data-cy="looker"] canvas').first.wait_for(timeout=60_000)
    assert dataset.exists("ground_truth").count() == dataset.count() == len(SEEDS)
    close(page)
    return dataset


def name_masks(page, dataset, shot):
    """Name the masks with the preset that comes with the package, and see it get on in the panel."""
    form = open_form(page, "SSA: name masks", {"Preset": "mini-ssa", "More settings": True})
    fill_field(page, form, "Keep the segmenter's own map beside the refined one", True)
    wait_until(lambda: form.get_by_text("images").count(), "no preview", page=page)
    shot(page, "flow-2-name")
    press(page, form)
    panel = page.locator('[data-cy="panel-content-masks"]')
    panel.get_by_text(re.compile(rf"of {len(SEEDS)} images|{len(SEEDS)} images,")).first.wait_for(timeout=90_000)
    shot(page, "flow-3-progress")
    wait_until(lambda: jobs(dataset)[0].state == "done", "the job is not done", 300, page)
    page.locator('[data-cy="checkbox-ssa"]').wait_for(timeout=20_000)
    dataset.reload()
    assert dataset.exists("ssa").count() == len(SEEDS)
    panel.get_by_text("Overview").first.click()
    settle(page)
    shot(page, "flow-4-named")


def true_name(sample, mask):
    """The class that most of a mask's pixels truly have; None where most have none."""
    truth = sample.ground_truth.get_mask()
    height, width = truth.shape
    x, y = int(mask.bounding_box[0] * width), int(mask.bounding_box[1] * height)
    under = truth[y : y + mask.mask.shape[0], x : x + mask.mask.shape[1]][mask.mask]
    names = sample._dataset.mask_targets["ground_truth"]
    return names.get(int(np.bincount(under).argmax())) if under.size else None


def most_often_wrong(dataset, truths):
    """The class whose name is wrong on most masks."""
    masks = zip(*dataset.values(["ssa.detections.id", "ssa.detections.label"], unwind=True), strict=True)
    return Counter(label for identity, label in masks if truths[identity] not in (label, None)).most_common(1)[0][0]


def of_class(dataset, name):
    """The field's masks of a class, as the database has them now."""
    dataset.reload()
    shown = dataset.filter_labels("ssa", fo.ViewField("label") == name)
    return shown, [mask for sample in shown for mask in sample.ssa.detections]


def filter_by_class(page, dataset, panel, chosen, shot):
    """Choose a class in the sidebar: what is left is what the database says, whatever else the panel shows."""
    view, masks = of_class(dataset, chosen)
    page.locator('[data-cy="sidebar-field-arrow-enabled-ssa"]').click()
    page.locator('[data-cy="selector-sidebar-search-ssa.detections.label"]').fill(chosen)
    page.locator('[data-cy^="selector-results-container"]').get_by_text(chosen, exact=True).first.click()
    told = told_of(panel, view, masks)
    told.wait_for(timeout=60_000)
    for button in ("engine", "Confusions", "Compare", "Overview", "ssa"):  # which drop no filter
        panel.get_by_role("button", name=button, exact=True).first.click()
        settle(page)
    told.wait_for(timeout=60_000)
    grid = page.locator('[data-cy="looker"]')
    wait_until(lambda: grid.count() == view.count(), "the grid is not what is filtered", page=page)
    shot(page, "flow-5-filter")


def told_of(panel, view, masks):
    """Where the panel says how many masks are shown."""
    return panel.get_by_text(f"{counted(len(masks), 'mask')} in {counted(view.count(), 'image')}").first


def review(page, dataset, panel, chosen, truths, shot):
    """Look at the most doubtful masks, one key each where the truth is among the proposals."""
    panel.get_by_role("button", name="Review", exact=True).click()
    names = set(review_queue(dataset, "ssa").names)
    root = page.locator('[data-cy="review-masks"]')
    settle(page)
    told_of(panel, *of_class(dataset, chosen)).wait_for(timeout=60_000)  # FiftyOne drops filters when a panel opens
    assert (
        root.locator('[data-cy="review-field"]').inner_text().strip() == "ssa"
    )  # the panel's field, not the sidebar's
    root.click(position={"x": 300, "y": 4})  # the panel has the keys
    decided, seen = {}, set()
    for place in range(min(REVIEWED, states(dataset, chosen)[None])):
        mask = shown(page, root, seen)
        seen.add(mask)
        stored = dataset.select_labels(ids=mask, fields="ssa").first().ssa.detections[0]
        assert stored.label == chosen  # the queue is what is filtered
        if place == 2:
            shot(page, "flow-6-review")
        if decision := decide(page, root, stored, truths[mask], names):
            decided[mask] = decision
    wait_until(lambda: root.get_attribute("data-waiting") == "0", "a decision is not stored", page=page)
    dataset.reload()
    found = {mask.id: mask for sample in dataset for mask in sample.ssa.detections}
    assert {mask: (found[mask].label, found[mask].review) for mask in decided} == decided
    assert {review for _, review in decided.values()} >= {"corrected"}
    assert all(found[mask].reviewed_at for mask in decided)


def shown(page, root, seen):
    """The id of the mask that the panel has drawn, once it is one that was not seen."""
    picture = root.locator('[data-cy="review-picture"]')

    def drawn():
        mask = root.get_attribute("data-mask")
        return mask if mask and mask not in seen and picture.get_attribute("data-shown") == mask else None

    return wait_until(drawn, "no further mask is drawn", page=page)


def decide(page, root, mask, truth, names):
    """Press what puts the name right, and answer label and review that are to be stored; None for a mask skipped."""
    proposals = (mask.class_proposals or [])[:3]
    if truth is None:
        page.keyboard.press("x")
        return mask.label, "rejected"
    if truth == mask.label:
        page.keyboard.press("Enter")
        return truth, "accepted"
    if truth in proposals:
        page.keyboard.press(str(proposals.index(truth) + 1))
    elif truth in names:
        page.keyboard.press("t")
        page.keyboard.type(truth)
        root.locator('[data-cy="review-name-option"]').first.wait_for()
        page.keyboard.press("Enter")
    else:
        page.keyboard.press("s")
        return None
    return truth, "corrected"


def accept_the_rest(page, dataset, chosen, shot):
    """Accept what is left of the class at once, with the count told before."""
    left = states(dataset, chosen)[None]
    form = open_form(page, "SSA: review masks", {"Only of class": chosen})
    wait_until(lambda: f"accepts {left} mask" in form.inner_text(), "the form does not count", page=page)
    shot(page, "flow-7-accept")
    press(page, form)
    wait_until(lambda: states(dataset, chosen)[None] == 0, "not all are accepted", page=page)
    page.keyboard.press("Escape")


def states(dataset, name):
    """How many masks of a class have which review."""
    return Counter(mask.get_attribute_value("review", None) for mask in of_class(dataset, name)[1])


def repaint_and_evaluate(page, dataset, panel, shot):
    """Paint the class maps anew and score them: mIoU has risen, and the panel has both scores side by side."""
    run_operator(page, "SSA: repaint class maps", {"Target view": "Whole dataset", "Labels": "ssa"})
    finished(dataset, page)
    run_operator(
        page, "SSA: evaluate a class map (mIoU)", {"Target view": "Whole dataset", "Evaluation key": "reviewed"}
    )
    wait_until(lambda: dataset.reload() or dataset.has_evaluation("reviewed"), "no evaluation", 240, page)
    before, after = (dataset.load_evaluation_results(key).scores.mean_iou for key in ("ssa", "reviewed"))
    assert after > before
    panel.get_by_role("button", name="Scores", exact=True).click()
    panel.get_by_text("reviewed").first.wait_for(timeout=60_000)
    settle(page)
    shot(page, "flow-8-scores")


def export(page, dataset, chosen, folder, shot):
    """Export what is filtered: the class, without rejected masks."""
    form = open_form(page, "SSA: export masks", {"Masks": "ssa", "Folder": str(folder)})
    form.get_by_text("Target view", exact=True).scroll_into_view_if_needed()
    shot(page, "flow-9-export")
    press(page, form)
    wait_until(lambda: list(folder.glob("*.json")), "nothing is exported", 240, page)
    close(page)
    _, masks = of_class(dataset, chosen)
    kept = [mask for mask in masks if mask.review != "rejected"]
    labels = json.loads((folder / "labels.json").read_text())
    names = {category["id"]: category["name"] for category in labels["categories"]}
    assert Counter(names[row["category_id"]] for row in labels["annotations"]) == {chosen: len(kept)}


def close(page):
    """Close what a job said in its dialog."""
    button = page.locator('[data-cy="operators-prompt-modal"]').get_by_role("button", name="Close")
    settle(page)
    if button.count():
        button.first.click()
        button.first.wait_for(state="hidden")
