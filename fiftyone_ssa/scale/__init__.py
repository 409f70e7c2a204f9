"""Labels of millions of images: shards in, one process or Ray, Parquet out, queries on what was written."""

from fiftyone_ssa.errors import MissingDependencyError

try:
    import fsspec as _fsspec  # noqa: F401
    import pyarrow as _pyarrow  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingDependencyError(f"Parquet labels need {error.name}: pip install 'fiftyone-ssa[scale]'") from error
