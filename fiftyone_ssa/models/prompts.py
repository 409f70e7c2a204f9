"""What prompted captioners are asked, and the names in what they answer."""

from __future__ import annotations

import re
from typing import Literal

from fiftyone_ssa.errors import InputError

Reading = Literal["names", "sentence", "either"]

PROMPTS = {
    "name": "Name this object in one to three words.",
    "names": "List up to three names for this object, separated by commas, and nothing else.",
    "caption": "Describe this object in one short sentence.",
}
"""By name, for models with a chat template."""
PART = "This is a part of a {whole}. Name this part in one to three words."
"""What a model with a chat template is asked about a mask that was given its whole's name."""
WHOLE = "<loc_0><loc_0><loc_999><loc_999>"
FOR_KINDS = {
    "florence2": {"name": f"<REGION_TO_CATEGORY>{WHOLE}", "names": "<OD>", "caption": "<CAPTION>"},
    "paligemma": {"name": "answer en what is this?", "names": "answer en what is this?", "caption": "caption en"},
    "kosmos-2": {
        "name": "Question: What is this? Answer:",
        "names": "Question: What is this? Answer:",
        "caption": "An image of",
    },
}
"""The same for models that were trained with words of their own instead."""
PARTS_FOR_KINDS = {
    "paligemma": "answer en which part of the {whole} is this?",
    "kosmos-2": "Question: Which part of the {whole} is this? Answer:",
}
"""The same for models that were trained with words of their own; Florence-2 takes none."""
MOST_WORDS = 4
"""A name of more words than this is a sentence."""
_SEPARATORS = re.compile(r"<[^<>]*>|[,;，、；،؛]|\s/\s")
_BULLET = re.compile(
    r"^\s*(?:[-–—−*•‣◦∙·▪■●○▶►➤→+>#]+(?!\d)|[①-⑳❶-❿➀-➓]|[(（]?\d{1,2}(?:[.．)）:：](?!\d)|、)"
    r"|[一二三四五六七八九十]、|[(（]?[a-zA-Z][)）])\s*"
)
_BRACKETS = re.compile(r"^[(（]([^()（）]*)[)）]$")
_NUMBER = re.compile(r"\s+(?=[(（]?\d{1,2}[.．)）]\s)")
"""Before the second entry of a list in one line."""
_MARKS = " \t.:!?…\"'`*_#[]“”„‟‘’‚«»‹›「」『』《》〈〉【】。．！？：؟।·¿¡"
"""What stands around a name and is none of it."""
_LEAD = re.compile(
    r"^(?:(?:this|that|it|the (?:main )?(?:object|image|picture|photo))(?: (?:here|in the (?:image|picture|photo)))?"
    r"(?:'s| is| are| shows| depicts| appears to be| seems to be)\s+|(?:answer|name|object):\s*)",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)


def prompt_for(kind: str, prompt: str) -> tuple[str, Reading]:
    """What a model of `kind` (its `model_type`) is asked, and how its answers are read.

    `prompt` is one of `PROMPTS` by name, or a text of its own; for Florence-2 a task token. Raises InputError if it
    is empty, or no task token where one is needed.
    """
    shipped = FOR_KINDS.get(kind, PROMPTS)
    if prompt in shipped:
        return shipped[prompt], "sentence" if prompt == "caption" else "names"
    if not prompt.strip():
        raise InputError(f"open_vocabulary.prompt is empty; give {', '.join(PROMPTS)}, or a text of your own")
    if kind == "florence2" and not re.match(r"<[A-Z_]+>", prompt):
        raise InputError(
            f"Florence-2 takes a task token for a prompt (<CAPTION>, <DETAILED_CAPTION>, <OD>), got {prompt[:80]!r}; "
            f"give one, or {', '.join(PROMPTS)}"
        )
    return prompt, "either"


def part_prompt_for(kind: str, whole: str) -> str | None:
    """What a model of `kind` is asked about a part of a `whole`; None where it takes no words of ours."""
    prompt = PARTS_FOR_KINDS.get(kind) if kind in FOR_KINDS else PART
    return None if prompt is None else prompt.replace("{whole}", whole)


def read(answer: str, reading: Reading) -> str | tuple[str, ...]:
    """An answer's names as a tuple, or the sentence that it is."""
    if reading == "names":
        return names_in(answer)
    return names_or_sentence(answer) if reading == "either" else _sentence(answer)


def names_in(answer: str) -> tuple[str, ...]:
    """The distinct names that an answer lists, without bullets, quotes, articles and full stops; longer ones go.

    `"1. A red car\\n2. vehicle"` holds "red car" and "vehicle", and `"This is a cat."` "cat".
    """
    bare = [unmarked(_ARTICLE.sub("", _LEAD.sub("", unmarked(part)))).lower() for part in _parts(answer)]
    return tuple(dict.fromkeys(name for name in bare if name and len(name.split()) <= MOST_WORDS))


def names_or_sentence(answer: str) -> str | tuple[str, ...]:
    """An answer to a prompt of the user's own: its names if it is a list of nothing else, or the sentence it is."""
    parts = [bare for part in _parts(answer) if (bare := unmarked(part))]
    is_list = len(parts) > 1 or len(answer.split()) <= MOST_WORDS
    if is_list and all(len(part.split()) <= MOST_WORDS for part in parts):
        return names_in(answer)
    return _sentence(answer)


def lines_of(text: str) -> list[str]:
    """The lines of a text, or the numbered entries of one line, without their bullets and numbers; empty ones go."""
    lines = text.splitlines()
    if len(lines) == 1 and _BULLET.match(text):
        lines = _NUMBER.split(text.strip())
    return [bare for line in lines if (bare := _BULLET.sub("", line).strip())]


def unmarked(name: str) -> str:
    """A name without a bullet or number before it, and without quotes and full stops around it."""
    return _BRACKETS.sub(r"\1", _BULLET.sub("", name.strip(_MARKS))).strip(_MARKS)


def _parts(answer: str) -> list[str]:
    return [part for line in lines_of(answer) for part in _SEPARATORS.split(line)]


def _sentence(answer: str) -> str:
    return " ".join(re.sub(r"<[^<>]*>", " ", answer).split())
