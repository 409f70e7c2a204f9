"""What a curator sees when masks were named: classes in the colours of overlay pictures, in a modal that opens."""

import io

import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import binary_erosion

from fiftyone_ssa.labels.appearance import prepare_app
from fiftyone_ssa.labels.documents import mask_set_from_detections
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle
from tools.app import open_sample, settle, wait_until

pytestmark = pytest.mark.browser
BORDER_PX = 3
"""Pixels near a mask's border, where pictures are blended and boxes have their lines."""


@pytest.fixture
def unset(scenes):
    """The scenes as before anything was set of the App."""
    scenes.app_config = type(scenes.app_config)()
    scenes.delete_saved_views()
    scenes.delete_label_schemas()
    scenes.save()
    return scenes


def shown(page):
    """The first sample as the grid shows it, as an array."""
    page.mouse.move(800, 900)
    looker = page.locator('[data-cy="looker"]').first
    return np.asarray(PIL.Image.open(io.BytesIO(looker.screenshot())).convert("RGB")).astype(float)


def check_colours(page, field, regions):
    """Check that a field's regions, {name: (H, W) mask}, are drawn in the colours of their names."""
    coloured = shown(page)
    page.locator(f'[data-cy="checkbox-{field}"]').click()
    wait_until(lambda: (shown(page) != coloured).any(), "the field changes nothing in the picture", page=page)
    page.wait_for_timeout(500)
    bare = shown(page)
    for name, mask in regions.items():
        rows, columns = (
            ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(bare.shape, mask.shape, strict=False)
        )
        there = binary_erosion(mask[np.ix_(rows, columns)], iterations=BORDER_PX)
        assert there.sum() > 100, name
        colour = np.array([int(colour_of(name)[i : i + 2], 16) for i in (1, 3, 5)], float)
        # coloured = bare + opacity * (colour - bare), with one opacity for all pixels and channels
        step, towards = (coloured - bare)[there], (colour - bare)[there]
        opacity = (step * towards).sum() / (towards * towards).sum()
        assert 0.3 < opacity <= 1, (name, opacity)
        assert np.median(np.abs(bare[there] + opacity * towards - coloured[there])) < 3, name


def test_masks_have_the_colours_of_their_names(app, unset, shot):
    sample, names = unset.first(), ["a name of no list", "tree", None]
    sample.engine.detections = sorted(sample.engine.detections, key=lambda mask: -mask.area)[: len(names)]
    for mask, name in zip(sample.engine.detections, names, strict=True):
        mask.label = name
    sample.save()
    prepare_app(unset, "engine")
    masks = mask_set_from_detections(sample.engine, PIL.Image.open(sample.filepath).size[::-1])
    dense = [rle.decode(code, masks.size_hw) for code in masks.rles]
    page = app(unset)
    settle(page)
    shot(page, "look-grid")
    alone = [mask & ~np.any(dense[:i] + dense[i + 1 :], axis=0) for i, mask in enumerate(dense)]
    check_colours(page, "engine", dict(zip(names, alone, strict=True)))


def test_a_sample_opens_with_the_sidebar_as_it_is_set(app, unset, shot):
    prepare_app(unset, "ssa")
    page = app(unset)
    open_sample(page, 0)
    settle(page)
    shot(page, "look-sample")
