"""What every operator with a form is made of: its configuration, and how it tells what stopped it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import fiftyone.operators as foo

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.database import needs_database


class FormOperator(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """An operator with a form that follows what is typed."""

    job: str
    label: str
    description: str | None = None
    icon: str | None = None
    unlisted: bool = False
    options: ClassVar[Mapping[str, Any]] = {}
    """Further options of `OperatorConfig`."""

    @property
    def config(self) -> foo.OperatorConfig:
        """Dynamic, so that a wrong value is told, and a count follows, while one types."""
        return foo.OperatorConfig(
            name=self.job,
            label=self.label,
            description=self.description,
            icon=self.icon,
            unlisted=self.unlisted,
            dynamic=True,
            disable_schema_validation=True,  # our sentence says it better
            **self.options,
        )


@contextmanager
def telling(ctx: Any, *, quiet: bool = False) -> Iterator[None]:
    """Let the App show what is wrong with the input or missing, unless `quiet`; it is raised all the same."""
    try:
        with needs_database():
            yield
    except (InputError, MissingDependencyError) as error:
        if not quiet:
            ctx.ops.notify(str(error), variant="error")
        raise
