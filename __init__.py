"""The FiftyOne plugin `@fiftyone-ssa/ssa`; the library is `fiftyone_ssa`, the App's forms and panels lie beside it."""


def register(p):
    """Called by FiftyOne; imports here, because pytest and linters meet this file outside of FiftyOne too."""
    import importlib.util
    import sys
    from pathlib import Path

    root = Path(__file__).resolve().parent
    if getattr(importlib.util.find_spec("fiftyone_ssa"), "origin", None) is None:  # not installed: we are a download
        sys.path.append(str(root))  # at the end, where it hides no library
    try:
        from .operators import OPERATORS
        from .panels import PANELS
    except ImportError as error:
        raise ImportError(f"{error}; mend: pip install -r {root / 'requirements.txt'}", name=error.name) from error

    for operator in (*OPERATORS, *PANELS):
        p.register(operator)
