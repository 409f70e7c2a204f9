"""The plugin's Python panels: what is shown and clicked; every number comes from the library."""

from .masks import Masks

PANELS = (Masks,)
