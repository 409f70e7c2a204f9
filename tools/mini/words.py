"""The words of the scenes: names, parts, colours, and a tokenizer that knows them."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fiftyone_ssa.quickstart.scenes import KINDS, STUFF, class_names
from fiftyone_ssa.quickstart.scenes.canvas import Canvas, Pen
from fiftyone_ssa.quickstart.scenes.dice import Dice

PLACES = ("street", "park", "room")


@lru_cache
def part_names() -> tuple[str, ...]:
    """Every name a node of a scene can have: things, surfaces, parts; sorted."""
    canvas = Canvas(64, 64, Dice(0))
    for kind in KINDS.values():
        kind.draw(Pen(canvas, canvas.node(kind.name), (32.0, 60.0), 50.0, (128.0, 128.0, 128.0)))
    return tuple(sorted({mark.name for mark in canvas.marks} | set(STUFF)))


@lru_cache
def names() -> tuple[str, ...]:
    """Every name a candidate can have: nodes', both vocabularies', synonyms', places'."""
    also = {name for kind in KINDS.values() for name in kind.names}
    return tuple(sorted({*part_names(), *class_names("ade20k"), *class_names("coco"), *also, *PLACES}))


def write_tokenizer(folder: Path) -> Any:
    """A tokenizer of whole words, of letters for what it does not know; its end token has the highest id, as CLIP's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from fiftyone_ssa.quickstart.scenes.palette import COLOURS

    words = {word for name in names() for word in name.replace("-", " - ").split()}
    words |= {*COLOURS, "a", "an", "the", "of", "on", "in", "by", "with"}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-'"
    pieces = ["[PAD]", "[UNK]", *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "[BOS]", "[EOS]"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[(token, vocabulary[token]) for token in ("[BOS]", "[EOS]")]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special)
    fast.save_pretrained(folder)
    return fast


class ReadsWords:
    """A stage whose model reads or writes the scenes' words."""

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the scenes' words."""
        with TemporaryDirectory() as folder:
            return write_tokenizer(Path(folder))
