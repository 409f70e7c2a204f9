"""Tars in: every image with its JSON, whatever their order, and every damage named."""

from __future__ import annotations

import io
import tarfile

import pytest

from fiftyone_ssa.scale import tars
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.tars import read_tar
from tests.scale.conftest import jpeg, masks, pairs, write_tar


def read(path, needs_masks=True) -> list[Record]:
    return list(read_tar(Shard("sa", "tar", str(path), ""), needs_masks=needs_masks))


def good(records) -> dict[str, tuple[bytes, bytes | None]]:
    return {record.id: (record.image, record.masks) for record in records if not record.problem}


def problems(records) -> dict[str, str]:
    return {record.id: record.problem for record in records if record.problem}


EXPECTED = {f"sa/sa_{n}.jpg": (jpeg(n), masks(n)) for n in range(4)}


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("held", [0, 10**9])
def test_pairs_in_any_order(tmp_path, monkeypatch, ending, held):
    monkeypatch.setattr(tars, "HELD_BYTES", held)
    members = pairs(range(4))
    for order in (members, members[::-1], sorted(members, key=lambda member: member[0].endswith("jpg"))):
        records = read(write_tar(tmp_path / f"sa.{ending}", order))
        assert good(records) == EXPECTED
        assert problems(records) == {}


def test_bytes_are_found_by_offset(tmp_path):
    path = write_tar(tmp_path / "sa.tar", pairs(range(3)))
    content = path.read_bytes()
    for record in read(path):
        assert content[record.offset :][: len(record.image)] == record.image
    assert [record.offset for record in read(write_tar(tmp_path / "sa.tar.gz", pairs(range(3))))] == [None] * 3


def test_without_masks_every_image_counts(tmp_path):
    path = write_tar(tmp_path / "sa.tar", [*pairs(range(2)), ("9.PNG", b"x"), ("._8.jpg", b"x"), ("1.txt", b"x")])
    assert list(good(read(path, needs_masks=False))) == ["sa/sa_0.jpg", "sa/sa_1.jpg", "sa/9.PNG"]
    assert all(record.masks is None for record in read(path, needs_masks=False))


def test_what_has_no_twin_or_comes_twice_is_named(tmp_path):
    extra = [
        ("a.jpg", b"1"),
        ("b.json", b"2"),
        ("./sa_1.jpg", b"3"),
        ("c.jpg", b"4"),
        ("c.png", b"5"),
        ("c.json", b"6"),
    ]
    records = read(write_tar(tmp_path / "sa.tar", [*pairs(range(4)), *extra]))
    assert good(records) == EXPECTED | {"sa/c.jpg": (b"4", b"6")}
    found = problems(records)
    assert found["sa/a.jpg"] == "no a.json is in the tar"
    assert "it and c.jpg" in found["sa/c.png"]
    assert "no image b.*" in found["sa/b.json"]
    assert "twice" in found["sa/sa_1.jpg#2"]
    assert len(found) == 4


def test_links_are_named_and_old_names_escaped(tmp_path):
    path = tmp_path / "sa.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name, data in (("caf\xe9.jpg", jpeg(0)), ("caf\xe9.json", masks(0)), ("b.json", masks(1))):
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
        for name, kind in (("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.SYMTYPE), ("d.txt", tarfile.SYMTYPE)):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "caf\xe9.jpg"
            tar.addfile(about)
    records = read(path)
    assert good(records) == {"sa/caf\\udce9.jpg": (jpeg(0), masks(0))}
    assert sorted(problems(records)) == ["sa/b.jpg", "sa/b.json", "sa/c.jpg"]
    assert "is a link" in problems(records)["sa/b.jpg"]


def test_a_damaged_header_costs_its_members_only(tmp_path):
    path = write_tar(tmp_path / "sa.tar", pairs(range(4)))
    with tarfile.open(path) as tar:
        at = tar.getmembers()[2].offset
    content = bytearray(path.read_bytes())
    content[at : at + 512] = b"\x55" * 512
    path.write_bytes(content)
    records = read(path)
    assert good(records) == {name: pair for name, pair in EXPECTED.items() if name != "sa/sa_1.jpg"}
    assert f"damaged from byte {at:,}" in problems(records)["sa"]
    assert "sa/sa_1.json" in problems(records)


@pytest.mark.parametrize("where", ["in an image", "in a header", "between members", "before the end mark"])
def test_a_cut_tar_gives_what_it_has(tmp_path, where):
    path = write_tar(tmp_path / "sa.tar", pairs(range(4)))
    with tarfile.open(path) as tar:
        last = tar.getmembers()[6]
        end = tar.getmembers()[7].offset_data + 512 * -(-tar.getmembers()[7].size // 512)
    cuts = {"in an image": last.offset_data + 9, "in a header": last.offset + 99, "between members": last.offset}
    path.write_bytes(path.read_bytes()[: cuts.get(where, end)])
    records = read(path)
    whole = EXPECTED if where == "before the end mark" else {n: p for n, p in EXPECTED.items() if n != "sa/sa_3.jpg"}
    assert good(records) == whole
    assert "cut" in problems(records)["sa"]


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 99, b"\x1f\x8b broken gzip" * 99])
def test_what_is_no_tar_is_one_problem(tmp_path, content):
    (tmp_path / "sa.tar").write_bytes(content)
    records = read(tmp_path / "sa.tar")
    assert good(records) == {}
    assert "sa.tar" in problems(records)["sa"]


def test_a_tar_that_is_not_there_is_the_stores_fault(tmp_path):
    with pytest.raises(OSError, match="gone"):
        read(tmp_path / "gone.tar")


def test_gits_own_header_and_two_tars_in_one_are_no_damage(tmp_path):
    path = tmp_path / "sa.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of the archive"}) as tar:
        tar.addfile(tarfile.TarInfo("readme"))
    path.write_bytes(path.read_bytes() + write_tar(tmp_path / "more.tar", pairs(range(4))).read_bytes())
    assert good(read(path)) == EXPECTED
    assert problems(read(path)) == {}
