"""Errors a user can mend: each message says what was expected, what came, and what to do."""


class InputError(ValueError):
    """Bad input: one image, mask file, preset, path or argument that cannot be used as it is."""


class MissingDependencyError(ImportError):
    """A package, model folder or mongod is not installed; the message holds the command that mends it."""
