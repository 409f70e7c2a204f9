"""The FiftyOne plugin `@fiftyone-ssa/ssa` and its remote zoo source; the library is `fiftyone_ssa`.

Everything is imports inside functions, because pytest and linters meet this file outside of FiftyOne too.
"""


def register(p):
    """Called by FiftyOne's App: its forms and panels lie beside this file."""
    root = _find_library()
    try:
        from .operators import OPERATORS
        from .panels import PANELS
    except ImportError as error:
        raise ImportError(f"{error}; mend: pip install -r {root / 'requirements.txt'}", name=error.name) from error

    for operator in (*OPERATORS, *PANELS):
        p.register(operator)


def download_model(model_name, model_path):
    """Called by FiftyOne's zoo: fetch a model's weights, and write to `model_path` which they are."""
    _zoo().download(model_name, model_path)


def load_model(model_name, model_path=None, **kwargs):
    """Called by FiftyOne's zoo: a `fiftyone.core.models.Model`; `kwargs` are `fiftyone_ssa.labels.zoo_model.load`'s."""
    return _zoo().load(model_name, **kwargs)


def resolve_input(model_name, ctx):
    """Called by the App's form that applies a model: what can be chosen of this one."""
    from fiftyone.operators import types

    inputs = types.Object()
    inputs.str("device", label="Device", default="auto", description="auto, cpu, cuda, cuda:N or mps")
    if "engine" in model_name:
        inputs.str("vocabulary", label="Vocabulary", description="names offered for every mask, with commas between")
    else:
        inputs.bool("semantic", label="Class maps", default=False, description="keep them beside the masks")
    return types.Property(inputs)


def parse_parameters(model_name, ctx, params):
    """Called by that form: what was chosen, as `load_model` takes it."""
    names = [name.strip() for name in (params.pop("vocabulary", None) or "").split(",")]
    if any(names):
        params["settings"] = {"open_vocabulary.vocabulary": list(filter(None, names))}


def _zoo():
    _find_library()
    from fiftyone_ssa.labels import zoo_model

    return zoo_model


def _find_library():
    """The folder of this file, where the library is, too, if it is not installed: then we are a download."""
    import importlib.util
    import sys
    from pathlib import Path

    root = Path(__file__).resolve().parent
    if getattr(importlib.util.find_spec("fiftyone_ssa"), "origin", None) is None and str(root) not in sys.path:
        sys.path.append(str(root))  # at the end, where it hides no library
    return root
