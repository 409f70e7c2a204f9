"""With an engine: names that a request brings, and the page in a browser, which has a box for them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import httpx
import numpy as np
import pytest

from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass
from fiftyone_ssa.masks import rle
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.serve.labeller import Kind
from fiftyone_ssa.serve.pipelines import Pipelines
from fiftyone_ssa.serve.settings import ServeSettings
from fiftyone_ssa.types import Inputs
from tools.app import browse, why_no_browser

from .conftest import QUICK, jpeg, post, predict, running, task

TOKEN = "a token of some length"


def test_vocabulary_is_offered_and_only_leaves_nothing_else(engine, pictures):
    with running(engine) as address, httpx.Client(base_url=address, timeout=300) as client:
        plain = post(client, pictures[0]).json()
        again = post(client, pictures[0]).json()
        only = post(client, pictures[0], vocabulary="sky, grass\nball", only="true").json()
        more = post(client, pictures[0], vocabulary="mountain").json()
        assert client.get("/info").json()["takes_vocabulary"] is True
    assert plain == again
    assert {row["class_name"] for row in only["annotations"]} <= {"sky", "grass", "ball"}
    assert plain["image"] == {"width": 160, "height": 120, "file_name": "photo.jpg"}
    assert len(more["annotations"]) == len(plain["annotations"])


def test_an_engine_is_offered_the_projects_labels(engine, pictures):
    with running(engine) as address, httpx.Client(base_url=address, timeout=300) as client:
        (result,) = predict(client, "BrushLabels", task(pictures[0]))
    assert {region["value"]["brushlabels"][0] for region in result["result"]} <= {"Sky", "Meadow"}
    assert result["result"]


@pytest.mark.browser
@pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser() or "there is one")
def test_page_labels_a_picture_and_shows_what_each_mask_could_be(engine, tmp_path):
    (tmp_path / "scene.jpg").write_bytes(jpeg(3, (320, 240)))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    settings = ServeSettings(port=0, token=TOKEN)
    with running(engine, settings) as address, browse((1280, 800)) as page:
        complaints = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#token-field:visible")
        page.fill("#token", TOKEN)
        page.keyboard.press("Tab")
        page.wait_for_selector("#names-field:visible")
        assert page.inner_text("#preset") == "mini-engine"
        _drop(page, tmp_path / "scene.jpg")
        page.wait_for_selector('body[data-phase="done"]', timeout=120_000)
        answer = page.evaluate("state.answer")
        masks = answer["ssa"]["annotations"]
        assert page.inner_text("#status").startswith(f"{len(masks)} mask")
        assert page.locator("#classes li").count() == len({mask["class_name"] for mask in masks})
        _check_pixels(page, masks)
        index = _point_at_a_mask(page)
        tip = page.inner_text("#tip")
        assert masks[index]["class_name"] in tip
        page.mouse.down()
        page.mouse.up()
        page.wait_for_selector("#mask:visible")
        rows = page.locator("#proposals tr").all_inner_texts()
        assert [row.split("\t")[0] for row in rows] == masks[index]["class_proposals"]
        _shot(page, "serve-page", tmp_path)
        for kind, name in (("ssa", "scene_semantic.json"), ("coco", "scene_coco.json"), ("png", "scene_masks.png")):
            with page.expect_download() as download:
                page.click(f'[data-download="{kind}"]')
            assert download.value.suggested_filename == name
            if kind != "png":
                assert json.loads(Path(download.value.path()).read_text()) == answer[kind]
        page.fill("#vocabulary", "sky, wall, floor")
        page.check("#only")
        page.click("#again")
        page.wait_for_selector('body[data-phase="done"] #again:enabled', timeout=120_000)
        named = {mask["class_name"] for mask in page.evaluate("state.answer.ssa.annotations")}
        assert named <= {"sky", "wall", "floor"}
        complaints = [text for text in complaints if "inline style" not in text and "401" not in text]
        assert complaints == [], "but for browse()'s own style, and the first question without a token"
        page.set_input_files("#file", str(tmp_path / "bad.jpg"))
        page.wait_for_selector('body[data-phase="failed"]', timeout=60_000)
        assert "is not a picture of a known format" in page.inner_text("#status")
        page.goto(f"{address}/docs")
        page.wait_for_selector("details >> text=/label")
        _shot(page, "serve-docs", tmp_path)
        assert all(url.startswith((address, "blob:", "data:")) for url in asked)


def _drop(page, path):
    script = """(text) => {
      const data = new DataTransfer(), bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      data.items.add(new File([bytes], "scene.jpg", { type: "image/jpeg" }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, base64.b64encode(path.read_bytes()).decode())


def _check_pixels(page, masks):
    """The script's decoder gives the pixels that ours gives."""
    count = "(code) => { let n = 0, sx = 0, sy = 0; eachColumn(code, (x, from, to) => { for (let y = from; y < to; y++)"
    count += " { n++; sx += x; sy += y; } }); return [n, sx, sy]; }"
    for mask in masks:
        code = mask["segmentation"]
        ys, xs = np.nonzero(rle.decode(code["counts"].encode(), tuple(code["size"])))
        assert page.evaluate(count, code) == [len(xs), xs.sum(), ys.sum()]


def _point_at_a_mask(page):
    """Move the pointer onto the largest mask that is seen; its index."""
    index = page.evaluate("state.order.find((index) => boxOf(index))")
    spot = page.evaluate("(index) => boxOf(index)", index)
    box = page.locator("#canvas").bounding_box()
    size = page.evaluate("[state.width, state.height]")
    page.mouse.move(
        box["x"] + (spot["cx"] + 0.5) * box["width"] / size[0], box["y"] + (spot["cy"] + 0.5) * box["height"] / size[1]
    )
    page.wait_for_selector("#tip:visible")
    return index


def _shot(page, name, folder):
    where = Path(os.environ.get("SSA_SCREENSHOTS") or folder)
    where.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(where / f"{name}.png"))


@pytest.mark.parametrize(("name", "section"), [("mini-ssa", "semantic"), ("mini-engine", "open_vocabulary")])
def test_an_ontology_holds_for_requests_with_masks_and_with_names_too(name, section, tmp_path):
    classes = OntologyClass("Meadow", 1, ("grass",)), OntologyClass("Air", 2, ("sky",))
    Ontology(classes, others="rest").save(tmp_path / "classes.toml")
    preset = load_preset(name, {**QUICK, f"{section}.ontology": str(tmp_path / "classes.toml")})
    pipelines = Pipelines(build_pipeline(preset, device="cpu"), preset)
    image = draw_scene(0, (256, 256)).image
    (made,) = pipelines(Kind())([Inputs(image)])
    assert set(made.labels) <= {"Meadow", "Air", "rest", None}
    (given,) = pipelines(Kind(has_masks=True))([Inputs(image, made.masks)])
    assert given.labels == made.labels
    if name == "mini-engine":
        (asked,) = pipelines(Kind(True, ("tent", "Tent", "sky"), only=True))([Inputs(image, made.masks)])
        assert set(asked.labels) - {None} == {"tent", "Air"}
