"""`select` and `return_corrections` headless: masks of Parquet labels opened, corrected, and back beside their rows."""

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionError

pytest.importorskip("duckdb")

from fiftyone_ssa.plugin import NAME
from tests.scale.outputs import make_output


@pytest.fixture
def out(tmp_path):
    return make_output(tmp_path)[0]


@pytest.fixture
def opened(registry, out):
    """The cars of an output folder, as the operator opens them."""
    params = {"out": str(out), "where": "label = 'car'", "name": "opened-cars"}
    result = foo.execute_operator(f"{NAME}/select", {}, params=params)
    assert result.error is None
    assert result.result["message"].startswith(f"{counted(out)} masks on")
    dataset = fo.load_dataset("opened-cars")
    yield dataset
    dataset.delete()


def counted(out, where="label = 'car'"):
    from fiftyone_ssa.scale.query import Output
    from fiftyone_ssa.scale.selecting import choose

    with Output(out) as output:
        return choose(output, where).masks


def test_chosen_masks_are_opened_and_corrections_return(registry, form, out, opened):
    assert opened.persistent
    assert set(opened.values("ssa.detections.label", unwind=True)) == {"car"}
    assert form("return_corrections", opened)["label_field"]["default"] == "ssa"
    before = counted(out)
    sample = opened.first()
    sample.ssa.detections[0].label = "truck"
    sample.save()
    result = foo.execute_operator(f"{NAME}/return_corrections", {"dataset": opened, "view": opened.view()}, params={})
    assert "1 correction to" in result.result["message"]
    assert (counted(out), counted(out, "label = 'truck'")) == (before - 1, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"out": ""}, "name the folder of Parquet labels"),
        ({"out": "", "name": ""}, "as an absolute path; name the new dataset"),
        ({"out": "/nowhere"}, "no shard of /nowhere"),
        ({"where": "label ="}, "where cannot be used"),
        ({"near": "a"}, "IMAGE_ID:MASK_ID"),
        ({"sample": "best"}, "sample must be one of"),
        ({"name": ""}, "name the new dataset"),
    ],
)
def test_a_wrong_value_is_told_by_the_form_and_by_a_run(registry, form, out, params, message):
    given = {"out": str(out), "name": "n", **params}
    told = [field.get("error_message") or "" for field in form("select", None, **given).values()]
    assert any(message in text for text in told)
    with pytest.raises(ExecutionError, match=message):
        registry.get_operator(f"{NAME}/select")(**given)


def test_what_is_wrong_stands_under_its_field(form, out):
    fields = form("select", None, out=str(out), name="n", near="a")
    assert (fields["near"]["invalid"], fields["where"]["invalid"]) == (True, False)
    assert "must be an absolute path" in form("select", None, out="out")["out"]["error_message"]


def test_a_seed_of_0_is_one(registry, out):
    for seed in (0, 51):
        foo.execute_operator(
            f"{NAME}/select", {}, params={"out": str(out), "name": f"s{seed}", "limit": 5, "seed": seed}
        )
    first, second = (fo.load_dataset(f"s{seed}") for seed in (0, 51))
    keys = ["image_id", "ssa.detections.sa1b_id"]
    assert first.values(keys) != second.values(keys)
    first.delete()
    second.delete()


def test_masks_from_elsewhere_have_nowhere_to_return(registry, form):
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath="/a.png", ssa=fo.Detections()))
    assert "not filled by select" in form("return_corrections", dataset)["label_field"]["error_message"]
    dataset.delete()
