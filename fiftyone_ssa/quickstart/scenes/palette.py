"""Colours that captions can name, and what things are made of."""

from fiftyone_ssa.quickstart.scenes.canvas import Colour

COLOURS: dict[str, Colour] = {
    "red": (204, 48, 44),
    "orange": (232, 130, 40),
    "yellow": (238, 200, 60),
    "green": (70, 150, 74),
    "blue": (56, 104, 190),
    "purple": (128, 78, 160),
    "pink": (232, 140, 170),
    "white": (236, 234, 228),
    "black": (46, 46, 52),
    "brown": (130, 86, 54),
    "gray": (140, 142, 146),
}
LIVELY = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
SOBER = ("white", "black", "brown", "gray", "blue", "red")

GLASS: Colour = (150, 196, 220)
DARK_GLASS: Colour = (62, 84, 106)
TYRE: Colour = (38, 38, 42)
STEEL: Colour = (176, 182, 188)
IRON: Colour = (74, 78, 84)
WOOD: Colour = (156, 108, 66)
DARK_WOOD: Colour = (104, 70, 44)
LEAF: Colour = (66, 128, 58)
BARK: Colour = (104, 76, 54)
CREAM: Colour = (240, 230, 206)
SKINS: tuple[Colour, ...] = ((240, 204, 172), (206, 154, 116), (146, 98, 68), (98, 66, 48))
HAIRS: tuple[Colour, ...] = ((50, 38, 32), (110, 70, 40), (206, 164, 90), (150, 150, 152))
SNOW: Colour = (238, 242, 248)
LIT: Colour = (255, 226, 140)
