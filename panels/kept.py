"""What a panel keeps between its events, in the server's memory.

FiftyOne's own panel state is part of the App's layout: each write to it makes the App load its page anew, which drops
the sidebar's filters and draws everything again. So it holds what people choose in the panel, which the App writes
there itself, and nothing else.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import Any

MOST = 200
"""Panels that are remembered, the last ones used; one that is forgotten counts anew."""
PUT_BACK_SECONDS = 10.0
"""How long after a choice the App may still drop its filters."""
_panels: OrderedDict[str, dict[str, Any]] = OrderedDict()
_lock = Lock()


def kept(ctx: Any) -> dict[str, Any]:
    """What the panel of this event keeps; empty at first, and after the server has started anew."""
    with _lock:
        own = _panels.setdefault(str(ctx.panel_id), {})
        _panels.move_to_end(str(ctx.panel_id))
        while len(_panels) > MOST:
            _panels.popitem(last=False)
        return own


def chosen(ctx: Any, name: str) -> Any:
    """What somebody chose here, else what the panel was opened with."""
    own = kept(ctx)
    return own[name] if name in own else ctx.panel.get_state(name)


def expect_reload(ctx: Any, filters: dict[str, Any]) -> None:
    """A choice was made, and the App will load its page anew: remember the filters that it drops."""
    kept(ctx)["dropped"] = (time.monotonic() + PUT_BACK_SECONDS, filters)


def dropped(ctx: Any, filters: dict[str, Any]) -> dict[str, Any] | None:
    """The filters that the App has dropped since `expect_reload`, once; None where it did not."""
    until, before = kept(ctx).get("dropped") or (0.0, {})
    if filters or not before or time.monotonic() > until:
        return None
    del kept(ctx)["dropped"]
    return dict(before)
