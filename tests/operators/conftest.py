"""The plugin as FiftyOne finds it, and the parity photographs as a dataset."""

import pytest

from fiftyone_ssa.plugin import NAME, install_plugin


@pytest.fixture(scope="session")
def registry():
    """FiftyOne's registry, with the plugin installed in the tests' own plugins folder."""
    import fiftyone.operators as foo  # here, as a skip where there is no database is an error outside tests

    install_plugin()
    return foo.OperatorRegistry()


@pytest.fixture
def form(registry):
    """A function that answers the form of a job as the App gets it: its fields by name; `app` is what else it sends."""

    import fiftyone.operators as foo

    def resolve(job, samples, active_fields=(), *, app=None, **params):
        name = samples._root_dataset.name if samples is not None else None
        request = {"dataset_name": name, "params": params, "active_fields": list(active_fields), **(app or {})}
        if samples is not None:
            request["view"] = samples.view()._serialize()
        context = foo.ExecutionContext(request, operator_uri=job)
        with context:
            inputs = registry.get_operator(f"{NAME}/{job}").resolve_type(context, "inputs")
        return inputs.to_json()["type"]["properties"]

    return resolve


@pytest.fixture
def photographs(parity):
    """The three photographs, without labels."""
    import fiftyone as fo

    dataset = fo.Dataset(persistent=True)
    dataset.add_samples(fo.Sample(filepath=str(path)) for path in sorted((parity / "inputs").glob("*.png")))
    yield dataset
    dataset.delete()
