"""A segmenter of your own: DeepLabV3 as a TensorFlow Lite file, 21 PASCAL VOC classes.

A segmenter is any class with `classes` and `__call__(images)`; a function without arguments builds it and is named in
the preset as "tflite_segmenter:build". `probabilities` is optional: with it, votes may be "auto", "soft" or "core".

    pip install ai-edge-litert
    DEEPLAB_TFLITE=deeplabv3.tflite fiftyone-ssa annotate PHOTOS OUT --preset examples/photos.toml
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Image, SemanticMap

# fmt: off
CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on


class DeepLab:
    """DeepLabV3 MobileNetV2 on PASCAL VOC, on the CPU.

    It sees 257 x 257 pixels. A whole photograph squeezed into those loses small objects, so it looks through windows
    of half the photograph's shorter side that overlap by half, and the windows' probabilities are averaged.
    """

    classes: Sequence[str] = CLASSES

    def __init__(self, path: str | Path) -> None:
        self.interpreter = Interpreter(model_path=str(path))
        self.interpreter.allocate_tensors()
        self.input, self.output = self.interpreter.get_input_details()[0], self.interpreter.get_output_details()[0]
        self.edge = int(self.input["shape"][1])

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """The most likely class of every pixel, at each image's own size."""
        maps = []
        for image, values in zip(images, self.probabilities(images), strict=True):
            ids = values.argmax(axis=0).astype(np.uint8)
            full = cv2.resize(ids, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST)
            maps.append(SemanticMap(full, CLASSES))
        return maps

    def probabilities(self, images: Sequence[Image]) -> list[npt.NDArray[np.float32]]:
        """Class probabilities (21, h, w) float32 per image, h and w at least 514."""
        return [self._probabilities(image) for image in images]

    def _probabilities(self, image: Image) -> npt.NDArray[np.float32]:
        scale = 2 * self.edge / min(image.shape[:2])
        height, width = (min(round(side * scale), 8 * self.edge) for side in image.shape[:2])
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        total, seen = np.zeros((height, width, len(CLASSES)), np.float32), np.zeros((height, width, 1), np.float32)
        for top in self._starts(height):
            for left in self._starts(width):
                window = slice(top, top + self.edge), slice(left, left + self.edge)
                total[window] += self._classify(scaled[window])
                seen[window] += 1
        return (total / seen).transpose(2, 0, 1)

    def _starts(self, length: int) -> list[int]:
        steps = 1 + -(-(length - self.edge) // (self.edge // 2))
        return [int(start) for start in np.linspace(0, length - self.edge, steps)]

    def _classify(self, window: Image) -> npt.NDArray[np.float32]:
        """Class probabilities (257, 257, 21) of one window."""
        self.interpreter.set_tensor(self.input["index"], window[None].astype(np.float32) / 127.5 - 1)
        self.interpreter.invoke()
        logits = self.interpreter.get_tensor(self.output["index"])[0]
        likely: npt.NDArray[np.float32] = np.exp(logits - logits.max(axis=2, keepdims=True))
        return likely / likely.sum(axis=2, keepdims=True)


def build() -> DeepLab:
    """Build it from the file that the environment variable DEEPLAB_TFLITE names."""
    path = os.environ.get("DEEPLAB_TFLITE", "")
    if not Path(path).is_file():
        raise InputError(f"DEEPLAB_TFLITE must name the .tflite file of the model, got {path!r}")
    return DeepLab(path)
