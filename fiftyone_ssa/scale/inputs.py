"""Which shards an input has: folders, tars, files of rows, and lists of them, here or in any store of fsspec."""

from __future__ import annotations

import errno
import hashlib
import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec.core

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.files.images import EXTENSIONS, UNDECODED
from fiftyone_ssa.files.printable import check_utf8, in_utf8
from fiftyone_ssa.folders.image_folder import found_elsewhere
from fiftyone_ssa.scale.lance_images import LANCE, lance_shards
from fiftyone_ssa.scale.layers import LAYERS
from fiftyone_ssa.scale.manifest import MANIFEST, TABLES
from fiftyone_ssa.scale.shards import Member, Record, Shard
from fiftyone_ssa.scale.store import file_system, is_local

logger = logging.getLogger(__name__)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
_UNREAD = (".zip", ".7z", ".rar", ".tar.zst", ".tzst", ".tar.lz4", *UNDECODED)
"""Endings of files that may hold images and that nothing here reads."""
_MASKS = (".json", ".JSON", ".Json")
_OWN = (errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
"""What a file of this machine answers for itself alone; other errors are of its disk."""
IMAGES_A_SHARD = 1000
"""Of one folder: a shard is what a killed run loses at most."""
Info = Mapping[str, Any]
"""What fsspec says of a file: `name`, `size`, `type`, and what the store adds."""


def find_shards(sources: Sequence[str | Path], *, needs_masks: bool, leave_out: str = "") -> list[Shard]:
    """The shards of all sources, in order.

    Args:
        sources: each a folder (images, tars, Parquet and Arrow files and Lance data sets in it and below), one of
            these, or an image; a path or a URL that fsspec knows, which may hold `*` and, as WebDataset has it,
            `{000..123}`
        needs_masks: whether an image needs the JSON beside it; a folder where none has one is left out
        leave_out (""): a path or URL below which nothing is searched: where results go

    Raises InputError if a source is not there, cannot be listed, holds nothing, or two shards would have one name.
    """
    shards: dict[str, Shard] = {}
    matched = [[match for each in _braces(str(pattern)) for match in _matches(each)] for pattern in sources]
    _check_apart([_url(fs, path) for matches in matched for fs, path in matches])
    for pattern, matches in zip(sources, matched, strict=True):
        found = 0
        for shard in itertools.chain.from_iterable(_of(*match, needs_masks, leave_out) for match in matches):
            if (other := shards.setdefault(shard.part, shard)) is not shard:
                raise InputError(
                    f"{other.source} and {shard.source} would both be called {shard.name} in the results; "
                    "rename one, or name the folder above both"
                )
            found += 1
        if not found:
            beside = " with <image name>.json beside them" if needs_masks else ""
            raise InputError(
                f"{pattern} holds no images{beside}, no tar and no rows (Parquet, Arrow, Lance); name what does"
            )
    return list(shards.values())


def read_folder(shard: Shard, *, needs_masks: bool) -> Iterator[Record]:
    """The images of a folder's shard. One that is gone has a problem; OSError is raised where the store fails."""
    fs, root = file_system(shard.source)
    top = in_utf8(_last(root) or "images")
    for member in shard.members:
        name = f"{top}/{member.image}"
        try:
            check_utf8(name, "Parquet")
        except InputError as error:
            yield Record(in_utf8(name), in_utf8(member.image), problem=str(error))
            continue
        if needs_masks and not member.masks:
            yield Record(name, member.image, problem=f"no {os.path.splitext(member.image)[0]}.json beside it")  # noqa: PTH122
            continue
        try:
            masks = fs.cat_file(f"{root}/{member.masks}") if needs_masks else None
            yield Record(name, member.image, fs.cat_file(f"{root}/{member.image}"), masks)
        except FileNotFoundError as error:
            yield Record(name, member.image, problem=f"{error.filename or member.image} is gone")
        except OSError as error:
            if error.errno not in _OWN or not is_local(fs):
                raise
            yield Record(name, member.image, problem=f"it cannot be read: {error.strerror}")


def _check_apart(paths: Sequence[str]) -> None:
    """Raises InputError if one of the inputs, by path or URL, is another one, or lies in it."""
    for first, second in itertools.pairwise(sorted(path.rstrip("/").split("/") for path in paths)):
        if second[: len(first)] == first:
            where = "is named twice" if first == second else f"lies in {'/'.join(first)}, which is named, too"
            raise InputError(f"{'/'.join(second)} {where}; name it once, as no image is labelled twice")


def _braces(pattern: str) -> Iterator[str]:
    """`a{08..10}b` as a08b, a09b, a10b: WebDataset's way to write many shards."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _braces(f"{pattern[: found.start()]}{number:0{len(first)}d}{pattern[found.end() :]}")


def _matches(source: str) -> list[tuple[Any, str]]:
    """What a path or URL, which may hold `*`, stands for: file systems, and paths in them."""
    with _listing(source):
        fs, path = file_system(os.path.expanduser(source))  # noqa: PTH111 - a URL may be no path
        matches = [path] if fs.exists(path) or not fsspec.core.has_magic(path) else sorted(fs.glob(path))
        return [(fs, match) for match in matches]


def _of(fs: Any, path: str, needs_masks: bool, leave_out: str) -> Iterator[Shard]:
    """The shards of one file or folder."""
    with _listing(_url(fs, path)):
        info = fs.info(path)
        if _is_lance(info):
            found = lance_shards(_last(path)[: -len(LANCE)], _url(fs, path))
        elif info["type"] == "directory":
            found = _below(fs, path.rstrip("/"), needs_masks, leave_out, {Path(path).resolve()})
        else:
            found = _file(fs, path, info, needs_masks)
        yield from (replace(shard, name=in_utf8(shard.name)) for shard in found)


@contextmanager
def _listing(source: str) -> Iterator[None]:
    """Raises InputError where a source is not there, or cannot be listed."""
    try:
        yield
    except MissingDependencyError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{source} does not exist; name a folder, a tar, a file of rows or an image") from error
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{source} cannot be listed: {error}") from error


def _file(fs: Any, path: str, info: Info, needs_masks: bool) -> Iterator[Shard]:
    """The shard of a file that was named itself; an image's masks lie beside it."""
    folder, _, name = path.rpartition("/")
    stem = os.path.splitext(path)[0]  # noqa: PTH122
    beside = [fs.info(stem + ending) for ending in _MASKS if needs_masks and fs.exists(stem + ending)]
    for shard in _files(fs, folder, "", [info, *beside], needs_masks):
        yield shard if shard.kind != "folder" else replace(shard, name=f"{_last(folder) or 'images'}/{name}")


def _below(
    fs: Any, root: str, needs_masks: bool, leave_out: str, entered: set[Path], folder: str = ""
) -> Iterator[Shard]:
    """The shards of a folder and of those in it; `folder` is its path below `root`, with `/` at its end.

    Links to folders are followed, but for those to images that are found anyway; `entered` are the real paths of
    folders that were.
    """
    infos = [_followed(fs, info) for info in fs.ls(f"{root}/{folder}".rstrip("/"), detail=True)]
    infos.sort(key=lambda info: str(info["name"]))
    if any(_name(info) == MANIFEST for info in infos):  # an output folder, perhaps this run's
        infos = [info for info in infos if _name(info) not in (*TABLES, LAYERS)]
    visible = [info for info in infos if not _name(info).startswith(".")]
    visible = [info for info in visible if fs.unstrip_protocol(info["name"]) != leave_out]
    yield from _files(fs, root, folder, [info for info in visible if info["type"] != "directory"], needs_masks)
    for info in visible:
        if _is_lance(info):
            yield from lance_shards(folder + _name(info)[: -len(LANCE)], _url(fs, info["name"].rstrip("/")))
        elif info["type"] == "directory" and f"{root}/{folder}".rstrip("/") != info["name"].rstrip("/"):
            if info.get("islink") and (reason := found_elsewhere(Path(info["name"]).resolve(), entered)):
                logger.warning("%s is left out: %s", info["name"], reason)
            else:
                yield from _below(fs, root, needs_masks, leave_out, entered, f"{folder}{_name(info)}/")


def _followed(fs: Any, info: Info) -> Info:
    """What a link leads to; others, and links that lead nowhere, as they are."""
    if not info.get("islink"):
        return info
    try:
        found: Info = fs.info(info["name"])
    except OSError:  # its reader will tell
        return {**info, "type": "file"}
    return found


def _files(fs: Any, root: str, folder: str, infos: Sequence[Info], needs_masks: bool) -> Iterator[Shard]:
    """The shards of one folder's files."""
    names = {_name(info): info for info in infos if info["type"] == "file"}  # nor pipes
    if unread := Counter(os.path.splitext(name)[1].lower() for name in names if name.lower().endswith(_UNREAD)):  # noqa: PTH122
        told = ", ".join(f"{count} {end}" for end, count in sorted(unread.items()))
        logger.warning(
            "%s/%s: %s left out, which nothing here reads; convert them, or unpack archives", root, folder, told
        )
    for name, info in names.items():
        kind, ending = kind_of(name)
        if kind and kind != "lance":
            yield Shard(folder + name[: -len(ending)], kind, _url(fs, info["name"]), _stamp([info]))
    images = [name for name in names if name.lower().endswith(EXTENSIONS)]
    beside = {name: _masks(name, names) if needs_masks else "" for name in images}
    if needs_masks and images and not any(beside.values()):
        logger.warning("%s/%s is left out: none of its %d images has a mask file beside it", root, folder, len(images))
        return
    for number, start in enumerate(range(0, len(images), IMAGES_A_SHARD)):
        chunk = images[start : start + IMAGES_A_SHARD]
        members = [Member(folder + name, beside[name] and folder + beside[name]) for name in chunk]
        stamp = _stamp([names[each] for name in chunk for each in (name, beside[name]) if each])
        top = _last(root) or "images"
        yield Shard(f"{top}/{folder}{number:05d}", "folder", _url(fs, root), stamp, tuple(members))


def kind_of(name: str) -> tuple[str, str]:
    """What shard a file is, and its ending; empty where it is none."""
    kinds = [("tar", ending) for ending in TARS] + [("parquet", ".parquet"), ("arrow", ".arrow"), ("lance", LANCE)]
    return next(((kind, ending) for kind, ending in kinds if name.lower().endswith(ending)), ("", ""))


def _is_lance(info: Info) -> bool:
    return info["type"] == "directory" and _name(info).endswith(LANCE)


def _masks(image: str, names: Mapping[str, Info]) -> str:
    stem = os.path.splitext(image)[0]  # noqa: PTH122 - many times faster, for millions of names
    return next((stem + ending for ending in _MASKS if stem + ending in names), "")


def _stamp(infos: Sequence[Info]) -> str:
    """Changes when one of the files does, as far as its store tells."""
    told = [(_name(info), *(str(info.get(key)) for key in ("size", "ETag", "mtime", "LastModified"))) for info in infos]
    return hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _url(fs: Any, path: str) -> str:
    """A path as others open it: of this machine as it is, else with its protocol."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def _name(info: Info) -> str:
    return _last(info["name"])


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
