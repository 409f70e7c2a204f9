"""What can stand in a scene: names in the ADE20K and COCO vocabularies, where it stands, how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fiftyone_ssa.quickstart.scenes import park_things as park
from fiftyone_ssa.quickstart.scenes import room_things as room
from fiftyone_ssa.quickstart.scenes import street_things as street
from fiftyone_ssa.quickstart.scenes.canvas import Pen
from fiftyone_ssa.quickstart.scenes.palette import LIVELY, SOBER


@dataclass(frozen=True)
class Kind:
    """One kind of thing."""

    name: str
    draw: Callable[[Pen], None]
    height: float
    """Height of the nearest one, as a share of the picture's shorter side."""
    half_width: float
    """Half its width, as a share of its height."""
    slots: tuple[str, ...]
    """Where it can stand: road, walk, lot (street); lawn, lake; sky; wall, floor, top (of a table)."""
    ade20k: str = ""
    """Its class name in ADE20K's 150, empty if it has none."""
    coco: str = ""
    """Its class name in COCO's 133, empty if it has none."""
    also: tuple[str, ...] = ()
    """Other names that are right."""
    colours: tuple[str, ...] = LIVELY
    """Colours it comes in."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names that are right, the usual one first."""
        return (self.name, *self.also)


@dataclass(frozen=True)
class Stuff:
    """A surface or a far region, with its class names as in `Kind`."""

    name: str
    ade20k: str
    coco: str


_STREET = ("walk",)
_PARK = ("lawn",)
_BOTH = ("walk", "lawn")
_AIR = ("sky",)
_SMALL = ("floor", "top")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("car", street.car, 0.27, 1.1, ("road",), "car", "car", colours=LIVELY + SOBER),
        Kind("bus", street.bus, 0.44, 1.2, ("road",), "bus", "bus"),
        Kind("truck", street.truck, 0.42, 1.0, ("road",), "truck", "truck"),
        Kind("bicycle", street.bicycle, 0.3, 0.85, _BOTH, "bicycle", "bicycle"),
        Kind("person", street.person, 0.52, 0.2, _BOTH, "person", "person", colours=(*LIVELY, "white", "gray")),
        Kind("traffic light", street.traffic_light, 0.6, 0.12, _STREET, "traffic light", "traffic light"),
        Kind("stop sign", street.stop_sign, 0.5, 0.24, _STREET, "signboard", "stop sign", colours=("red",)),
        Kind("fire hydrant", street.fire_hydrant, 0.26, 0.4, _STREET, "", "fire hydrant", colours=("red", "yellow")),
        Kind("streetlight", street.streetlight, 0.8, 0.33, _STREET, "streetlight", "light", colours=("black",)),
        Kind("building", street.building, 0.62, 0.5, ("lot",), "building", "building", colours=LIVELY + SOBER),
        Kind("house", street.house, 0.44, 0.7, ("lot", "lawn"), "house", "house", colours=(*LIVELY, "white")),
        Kind("bench", street.bench, 0.24, 0.88, _BOTH, "bench", "bench", colours=("brown", "green", "red", "blue")),
        Kind("tree", park.tree, 0.72, 0.38, ("lot", "lawn"), "tree", "tree", colours=("green",)),
        Kind("bird", park.bird, 0.13, 0.85, ("lawn", "sky"), "animal", "bird", colours=(*LIVELY, "black", "white")),
        Kind("cat", park.cat, 0.26, 0.45, ("lawn", "floor"), "animal", "cat", colours=("black", "orange", "gray")),
        Kind("dog", park.dog, 0.28, 0.75, ("walk", "lawn", "floor"), "animal", "dog", colours=("brown", "white")),
        Kind("kite", park.kite, 0.34, 0.3, _AIR, "", "kite"),
        Kind("boat", park.boat, 0.3, 0.7, ("lake",), "boat", "boat"),
        Kind("tent", park.tent, 0.32, 0.92, _PARK, "tent", "tent"),
        Kind("airplane", park.airplane, 0.15, 1.3, _AIR, "airplane", "airplane"),
        Kind("chair", room.chair, 0.44, 0.34, ("floor",), "chair", "chair", colours=(*LIVELY, "brown")),
        Kind("table", room.table, 0.32, 1.2, (), "table", "table", colours=("brown", "white", "orange", "gray")),
        Kind("sofa", room.sofa, 0.4, 1.08, ("floor",), "sofa", "couch", ("couch",), colours=(*LIVELY, "gray")),
        Kind("lamp", room.lamp, 0.72, 0.2, ("floor",), "lamp", "light", ("light",)),
        Kind("bottle", room.bottle, 0.24, 0.16, ("top",), "bottle", "bottle", colours=("green", "blue", "brown")),
        Kind("cup", room.cup, 0.13, 0.6, ("top",), "", "cup", colours=(*LIVELY, "white")),
        Kind("vase", room.vase, 0.27, 0.3, _SMALL, "vase", "vase", colours=(*LIVELY, "white")),
        Kind("clock", room.clock, 0.19, 0.5, ("wall",), "clock", "clock", colours=(*LIVELY, "black", "brown")),
        Kind("tv", room.tv, 0.24, 0.85, ("wall", "top"), "television receiver", "tv", ("television receiver",)),
        Kind("painting", room.painting, 0.27, 0.65, ("wall",), "painting", "", colours=("brown", "yellow", "black")),
        Kind(
            "potted plant",
            room.potted_plant,
            0.34,
            0.45,
            _SMALL,
            "plant",
            "potted plant",
            ("plant",),
            colours=("orange", "brown", "white", "blue"),
        ),
        Kind("ball", room.ball, 0.14, 0.5, ("floor", "lawn"), "ball", "sports ball", ("sports ball",)),
        Kind("rocket", park.rocket, 0.4, 0.3, _AIR),
        Kind("windmill", park.windmill, 0.6, 0.4, ("lawn", "lot")),
        Kind("balloon", park.balloon, 0.34, 0.38, _AIR),
        Kind("snowman", park.snowman, 0.4, 0.42, _PARK),
        Kind("lighthouse", park.lighthouse, 0.58, 0.2, ("lawn", "lot"), colours=("red", "blue", "black")),
        Kind("mushroom", park.mushroom, 0.22, 0.55, _PARK, colours=("red", "orange", "brown", "purple")),
        Kind("butterfly", park.butterfly, 0.15, 0.65, ("lawn", "sky")),
        Kind("turtle", park.turtle, 0.18, 0.85, ("lawn", "floor"), colours=("green", "brown")),
        Kind("robot", room.robot, 0.34, 0.36, ("floor", "top", "walk")),
        Kind("candle", room.candle, 0.22, 0.28, ("top",), colours=(*LIVELY, "white")),
        Kind("guitar", room.guitar, 0.46, 0.22, ("floor",), colours=("orange", "red", "brown", "blue", "black")),
        Kind("drum", room.drum, 0.24, 0.65, ("floor",), colours=("red", "blue", "green", "purple")),
        Kind("globe", room.globe, 0.24, 0.44, _SMALL, colours=("green", "yellow", "brown")),
        Kind("cactus", room.cactus, 0.3, 0.3, _SMALL, colours=("orange", "brown", "white", "blue")),
        Kind("pumpkin", room.pumpkin, 0.2, 0.6, ("floor", "top", "lawn"), colours=("orange",)),
        Kind("ladder", room.ladder, 0.6, 0.25, ("floor", "walk"), colours=("brown", "yellow", "gray")),
    )
}

STUFF: dict[str, Stuff] = {
    stuff.name: stuff
    for stuff in (
        Stuff("sky", "sky", "sky"),
        Stuff("road", "road", "road"),
        Stuff("sidewalk", "sidewalk", "pavement"),
        Stuff("grass", "grass", "grass"),
        Stuff("mountain", "mountain", "mountain"),
        Stuff("water", "water", "water"),
        Stuff("path", "path", "dirt"),
        Stuff("fence", "fence", "fence"),
        Stuff("wall", "wall", "wall"),
        Stuff("floor", "floor", "floor"),
        Stuff("rug", "rug", "rug"),
        Stuff("window", "windowpane", "window"),
    )
}
VOCABULARIES = ("ade20k", "coco")


def class_names(vocabulary: str) -> tuple[str, ...]:
    """The class names of a vocabulary ("ade20k" or "coco") that scenes use, sorted."""
    return tuple(sorted({getattr(entry, vocabulary) for entry in (*KINDS.values(), *STUFF.values())} - {""}))
