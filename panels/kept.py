"""What a panel keeps between its events, in the server's memory, and the sidebar's filters, which the App drops.

FiftyOne 1.22 loads its page anew, and drops the sidebar's filters, at each change of its layout: a panel that opens, is
resized or comes to the front, and whatever a panel writes into its state, which is part of the layout; and where it
reads its dataset anew. So our panel writes no state (buttons instead of inputs, charts within the layout), and puts
back what the App drops when the panel opens and when a run has written.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import Any

MOST = 200
"""Panels that are remembered, the last ones used; one that is forgotten counts anew."""
PUT_BACK_SECONDS = 10.0
"""How long after a change of its layout the App may still drop its filters."""
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


def expect_reload(ctx: Any) -> None:
    """The App's layout has changed: it will load its page anew, and drop its filters, once for each change."""
    times, _ = kept(ctx).get("reloads") or (0, 0.0)
    kept(ctx)["reloads"] = (times + 1, time.monotonic() + PUT_BACK_SECONDS)


def reloads(ctx: Any) -> int:
    """How often the App may still load its page anew."""
    times, until = kept(ctx).get("reloads") or (0, 0.0)
    return times if time.monotonic() < until else 0


def dropped(ctx: Any, filters: dict[str, Any]) -> dict[str, Any] | None:
    """The filters that the App has dropped for a change of its layout; None where these are what somebody chose."""
    before = kept(ctx).get("filters")
    if filters or not before or not reloads(ctx):
        kept(ctx)["filters"] = filters
        return None
    times, until = kept(ctx)["reloads"]
    kept(ctx)["reloads"] = (times - 1, until)
    return dict(before)
