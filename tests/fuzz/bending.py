"""How inputs are bent: values swapped for odd ones, bytes flipped, cut, doubled. All of it follows from a seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any


def odd_value(rng: random.Random) -> Any:
    """A value that seldom stands where it is put."""
    deep: Any = []
    for _ in range(rng.choice((3, 90, 900))):
        deep = [deep]
    return rng.choice(
        (
            *(None, True, False, "", "x", "0", "1e5", "nan", "\0", "\ud800", "ü\n", [], {}, [[]], [{}], {"size": [1]}),
            *(0, 1, -1, 2, 255, 256, 2**31, -(2**31), 2**32, 2**63, 2**64, -(2**63) - 1, 10**19, 10**30, 10**400),
            *(0.0, -0.0, 0.5, -0.5, 1e-320, 1e9, 1e10, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
            *(
                [0] * 5,
                [1e308] * 4,
                [float("nan")] * 4,
                [-5, -5, -1, -1],
                "9" * 300,
                deep,
                {"a": deep},
                list(range(99)),
            ),
        )
    )


def bent(rng: random.Random, value: Any, times: int) -> Any:
    """A copy of lists and objects in each other, some of whose entries are swapped, dropped, doubled or moved."""
    root = [copy.deepcopy(value)]
    for _ in range(times):
        container, key = _somewhere(rng, root)
        kind = rng.random()
        if kind < 0.6:
            container[key] = odd_value(rng)
        elif kind < 0.75 and container is not root:
            del container[key]
        elif kind < 0.85 and isinstance(container, list) and container is not root:
            container[key:key] = [container[key]] * rng.choice((1, 2, 50))
        elif kind < 0.95:
            other, place = _somewhere(rng, root)
            container[key] = copy.deepcopy(other[place])
        else:
            container[key] = [container[key]]
    return root[0]


def _somewhere(rng: random.Random, root: list[Any]) -> tuple[Any, Any]:
    """A container and a key of it, deeper ones as likely as others."""
    container: Any = root
    key: Any = 0
    while rng.random() < 0.8:
        inner = container[key]
        if not isinstance(inner, list | dict) or not inner:
            break
        container, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    return container, key


def torn(rng: random.Random, content: bytes) -> bytes:
    """Bytes of which some are flipped, cut, doubled, blanked or put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        size = len(data)
        if not size:
            break
        # Half the time near the start, where the headers are.
        at = rng.randrange(min(size, 64) if rng.random() < 0.5 else size)
        kind = rng.random()
        if kind < 0.5:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ (1 << rng.randrange(8)), rng.randrange(256)))
        elif kind < 0.65:
            del data[at:]
        elif kind < 0.75:
            del data[at : at + rng.randrange(1, 20)]
        elif kind < 0.85:
            data[at:at] = data[at : at + rng.randrange(1, 200)]
        elif kind < 0.95:
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        else:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 30)))
    return bytes(data)


def as_json(rng: random.Random, value: Any) -> bytes:
    """A value as JSON text, now and then with a byte order mark, in another encoding, a key twice, or torn."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.8)
    kind = rng.random()
    if kind < 0.05:
        return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass")
    if kind < 0.1:
        return text.encode(rng.choice(("utf-16", "utf-32", "latin-1")), "replace")
    if kind < 0.13:
        text = text.replace('"', '"annotations": [], "', 1)
    content = text.encode("utf-8", "surrogatepass")
    return torn(rng, content) if kind > 0.85 else content
