"""Drawn streets, parks and rooms with exact truth: what the quickstart shows and the small models learn from."""

from fiftyone_ssa.quickstart.scenes.captions import caption
from fiftyone_ssa.quickstart.scenes.draw import draw_scene
from fiftyone_ssa.quickstart.scenes.kinds import KINDS, STUFF, VOCABULARIES, Kind, class_names
from fiftyone_ssa.quickstart.scenes.scene import Node, Scene

__all__ = ["KINDS", "STUFF", "VOCABULARIES", "Kind", "Node", "Scene", "caption", "class_names", "draw_scene"]
