"""The FiftyOne plugin `@fiftyone-ssa/ssa`; the library is `fiftyone_ssa`, the App's forms are `operators`."""


def register(p):
    """Called by FiftyOne; imports here, because pytest and linters meet this file outside of FiftyOne too."""
    from .operators import OPERATORS

    for operator in OPERATORS:
        p.register(operator)
