"""What a caption would say of a region."""

from __future__ import annotations

from fiftyone_ssa.quickstart.scenes.dice import Dice
from fiftyone_ssa.quickstart.scenes.scene import Node, Scene


def caption(scene: Scene, node: Node, dice: Dice | None = None) -> str:
    """A caption of a node in lower case: "a red kite in the sky", "the wheel of a blue car", "green grass".

    `dice` varies the form; without it the first form is taken. Things of any vocabulary are called by their usual name.
    """

    def form(*forms: str) -> str:
        return dice.pick(forms) if dice else forms[0]

    whole = node
    while whole.parent >= 0:
        whole = scene.nodes[whole.parent]
    if whole.kind is None:
        place = {"street": "in a street", "park": "in a park", "room": "in a room"}[scene.setting]
        return f"the {node.name} {place}" if node.parent < 0 else f"the {node.name} of a {whole.name}"
    coloured = f"{whole.colour} {whole.name}"
    if node.parent < 0:
        return form(f"{_a(coloured)} {whole.place}", _a(coloured), f"{_a(whole.name)} {whole.place}")
    return form(f"the {node.name} of {_a(coloured)}", f"the {node.name} of {_a(whole.name)}")


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
