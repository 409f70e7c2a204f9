"""Images are brought to a device once, all in one piece."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from fiftyone_ssa.models import images as module
from fiftyone_ssa.models.images import images_on


def test_on_the_cpu_they_are_the_arrays_themselves() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    (there,) = images_on([image], torch.device("cpu"))
    there[0, 0, 0] = 77
    assert image[0, 0, 0] == 77
    (turned,) = images_on([image[::-1]], torch.device("cpu"))
    assert turned.numpy().tolist() == image[::-1].tolist()


def test_elsewhere_they_share_a_storage_and_are_kept_as_long_as_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = []
    monkeypatch.setattr(module, "upload", lambda array, device: (brought.append(array.size), torch.tensor(array))[1])
    device = torch.device("meta")  # none that would be asked
    a, b = (np.full((2, n, 3), n, np.uint8) for n in (3, 5))
    first = images_on([a, b, a], device)
    assert [there.tolist() for there in first] == [a.tolist(), b.tolist(), a.tolist()]
    assert first[0].untyped_storage().data_ptr() == first[1].untyped_storage().data_ptr()
    assert images_on([b], device)[0] is first[1]
    assert brought == [a.size + b.size]
    del a, b
    gc.collect()
    assert not module._THERE
