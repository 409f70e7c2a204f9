"""An output folder as tables to ask: masks, images and failures of finished shards, corrections laid over them.

DuckDB reads the Parquet files where they lie. What a person types may be any expression over the tables, and no more:
the database is in memory, reads these files alone, writes none, and takes no other settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fiftyone_ssa.errors import InputError, MissingDependencyError, shown
from fiftyone_ssa.naming.arguments import check_path
from fiftyone_ssa.scale.layers import CORRECTIONS, SHAPE, WORDS, layer_files
from fiftyone_ssa.scale.manifest import MANIFEST, TABLES, Entry, read_manifest
from fiftyone_ssa.scale.store import Store, StoreFiles

Row = dict[str, Any]
SAFE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
"""No extension is fetched, no variable of Python's is a table, and nothing spills to the working folder."""
ASKED = ("label", "confidence", "margin", "source", "caption", "area", "level", "image_id", "shard", "review")
"""The columns of `masks` that people ask for most."""
BATCH = 2048
"""Rows that are Python's at a time."""
PLAIN = "hive_partitioning=false"
"""A folder above called `label=car` is no column."""
_PATTERN = re.compile(r"[*?\[]")


class Output:
    """An output folder, open for questions; a context manager.

    Tables: `masks` (`scale.rows.MASKS`, where `label` is what holds now and `class_name` what the model said, with
    people's `review`, `reviewed_at`, `reviewed_by` and `tags`), `images`, `failed`, and `corrections`.
    """

    def __init__(self, out: Any) -> None:
        """Open the folder `out`, by path or URL.

        Raises InputError if it is no output folder, MissingDependencyError where DuckDB is not installed.
        """
        is_url = isinstance(out, str) and "://" in out
        self.store = Store(out if is_url else check_path("out", out).absolute())
        self.root = self.store.where
        self.parts = list(read_manifest(self.store).values())
        if not self.parts:
            raise InputError(
                f"no shard of {self.root} is finished: it has no {MANIFEST}, or nothing in it; name a folder that "
                "annotate --format parquet wrote"
            )
        self.layers = layer_files(self.store)
        files = {kind: [self.file(kind, part) for part in self.parts] for kind in TABLES}
        self._check_files(files)
        self._database = _locked(self.store, [*(path for paths in files.values() for path in paths), *self.layers])
        for kind, paths in files.items():
            self.run(f"CREATE VIEW {'said' if kind == 'masks' else kind} AS SELECT * FROM {scan(paths)}")
        self.run(f"CREATE TABLE corrections AS {latest(self.layers)}")
        self.run(f"CREATE VIEW masks AS {corrected('said') if self.layers else as_said('said')}")

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def file(self, kind: str, part: Entry) -> Path | str:
        """The file of a shard for one of `TABLES`, as DuckDB calls it."""
        return self.store.place(f"{kind}/{part.part}")

    def _check_files(self, files: Mapping[str, Sequence[Path | str]]) -> None:
        """Raise InputError for a part file that is gone; of a store's DuckDB tells."""
        for path in (path for paths in files.values() for path in paths):
            if isinstance(path, Path) and not path.is_file():
                raise InputError(
                    f"{path} is gone, which {MANIFEST} names; restore it from a copy, or label again with --overwrite"
                )

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Do what answers nothing. Raises InputError with DuckDB's reason, as `rows` does."""
        with _reasons(self.root):
            self._database.execute(sql, list(values))

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """What a question answers, a row at a time, as Python's own types."""
        with _reasons(self.root):
            found = self._database.cursor().execute(sql, list(values))
            names = [column[0] for column in found.description]
            while batch := found.fetchmany(BATCH):
                yield from (dict(zip(names, row, strict=True)) for row in batch)

    def columns(self, table: str) -> list[str]:
        """The columns of a table."""
        return [row["column_name"] for row in self.rows(f"SELECT column_name FROM (DESCRIBE {table})")]

    def check_where(self, where: Any) -> str:
        """The condition in brackets, to stand in a question. Raises InputError unless it is one on `masks`."""
        import duckdb

        if not isinstance(where, str):
            raise InputError(f"where must be text, got {shown(where)}")
        try:
            duckdb.SQLExpression(where)  # one expression, and nothing after it
            self._database.execute(f"EXPLAIN SELECT 1 FROM masks WHERE (\n{where}\n)")
        except (duckdb.Error, TypeError) as error:  # TypeError: no UTF-8
            raise InputError(
                f"where cannot be used: {_first_line(error)}; write a condition on the columns {', '.join(ASKED)} ..., "
                "as label = 'traffic light' and confidence > .6"
            ) from error
        return f"(\n{where}\n)"


def scan(files: Sequence[Path | str]) -> str:
    """Files of one kind as what a FROM takes; the columns `filename` and `file_row_number` tell where a row is from."""
    paths = ", ".join(map(quoted, files))
    return f"read_parquet([{paths}], union_by_name=true, filename=true, file_row_number=true, {PLAIN})"


def latest(layers: Sequence[Path | str], where: str = "true") -> str:
    """The question for the row of each mask that holds, among those of layers for which `where` does."""
    if not layers:
        columns = ", ".join(f"NULL AS {name}" for name in CORRECTIONS.names)
        return f"SELECT {columns} WHERE false"
    newest = "row_number() OVER (PARTITION BY image_id, mask_id ORDER BY filename DESC) = 1"
    files = f"read_parquet([{', '.join(map(quoted, layers))}], filename=true, {PLAIN})"
    return f"SELECT * EXCLUDE (filename) FROM {files} WHERE {where} QUALIFY {newest}"


def as_said(table: str) -> str:
    """The question for masks as the model left them, with the columns of people."""
    return (
        f"SELECT *, label AS class_name, NULL::VARCHAR AS review, NULL::TIMESTAMP AS reviewed_at, "
        f"NULL::VARCHAR AS reviewed_by, NULL::VARCHAR[] AS tags FROM {table}"
    )


def corrected(table: str, where: str = "true") -> str:
    """The question for masks as people left them, and those that they drew where `where` holds of them."""
    shape = ", ".join(f"ifnull(c.{name}, m.{name}) AS {name}" for name in SHAPE)
    return (
        f"SELECT m.* REPLACE (if(c.image_id IS NULL, m.label, c.label) AS label, {shape}), m.label AS class_name, "
        f"{', '.join(f'c.{name}' for name in WORDS[1:])} "
        f"FROM {table} m LEFT JOIN corrections c USING (image_id, mask_id) UNION ALL BY NAME "
        f"SELECT * EXCLUDE (dataset), '' AS preset, '' AS revisions FROM corrections WHERE mask_id < 0 AND {where}"
    )


def quoted(text: object, *, path: bool = True) -> str:
    """A text as SQL writes it. Raises InputError for a `path` that DuckDB would take for a pattern."""
    if path and _PATTERN.search(str(text)):
        raise InputError(f"DuckDB takes *, ? and [ in a path for patterns; rename the folder of {shown(str(text))}")
    return "'" + str(text).replace("'", "''") + "'"


def _locked(store: Store, files: Sequence[Path | str]) -> Any:
    """A database in memory that can read these files and reach nothing else."""
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "questions to Parquet labels need DuckDB: pip install 'fiftyone-ssa[scale]'"
        ) from error
    database = duckdb.connect(config=SAFE)
    if store.local is None:
        database.register_filesystem(StoreFiles(store))
    database.execute(f"SET allowed_paths = [{', '.join(map(quoted, files))}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


@contextmanager
def _reasons(out: Path | str) -> Iterator[None]:
    """Raise InputError with DuckDB's reason, in one sentence."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:  # a store that fails raises what it raises
        raise InputError(f"the labels in {out} cannot be asked that: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split())
