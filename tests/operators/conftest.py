"""The plugin as FiftyOne finds it, and the parity photographs as a dataset."""

import fiftyone as fo
import fiftyone.operators as foo
import pytest

from fiftyone_ssa.plugin import NAME, install_plugin


@pytest.fixture(scope="session")
def registry():
    """FiftyOne's registry, with the plugin installed in the tests' own plugins folder."""
    install_plugin()
    return foo.OperatorRegistry()


@pytest.fixture
def form(registry):
    """A function that answers the form of a job as the App gets it: its fields by name."""

    def resolve(job, dataset, **params):
        context = foo.ExecutionContext({"dataset_name": dataset and dataset.name, "params": params}, operator_uri=job)
        with context:
            inputs = registry.get_operator(f"{NAME}/{job}").resolve_type(context, "inputs")
        return inputs.to_json()["type"]["properties"]

    return resolve


@pytest.fixture
def photographs(parity):
    """The three photographs, without labels."""
    dataset = fo.Dataset(persistent=True)
    dataset.add_samples(fo.Sample(filepath=str(path)) for path in sorted((parity / "inputs").glob("*.png")))
    yield dataset
    dataset.delete()
