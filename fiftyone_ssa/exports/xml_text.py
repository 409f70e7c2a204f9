"""Text in XML files, which have no way to write most control characters."""

from __future__ import annotations

import re

from fiftyone_ssa.errors import InputError, shown

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_xml(what: str, text: str) -> str:
    """A text that XML can hold. Raises InputError otherwise."""
    if _NO_XML.search(text):
        raise InputError(f"{what} {shown(text)} has a control character, which XML files cannot hold; rename it")
    return text


def as_xml(text: str) -> str:
    """A text to read, with a mark where it has what XML cannot hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
