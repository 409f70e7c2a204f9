"""`load_dataset` from the App: a folder becomes a persistent dataset, and bad input is told in the form."""

import shutil

import fiftyone as fo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/load_dataset"


@pytest.fixture
def folder(parity, tmp_path):
    """Photographs with masks, as SA-1B unpacks."""
    folder = tmp_path / "sa 000"
    folder.mkdir()
    from PIL import Image

    for number, stem in enumerate(("chelsea", "coffee")):
        Image.open(parity / f"inputs/{stem}.png").convert("RGB").save(folder / f"sa_{number}.jpg")
        shutil.copy(parity / f"inputs/{stem}.json", folder / f"sa_{number}.json")
    yield folder
    for name in ("sa 000", "queued"):
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


def test_a_folder_becomes_a_dataset_of_its_name(registry, folder):
    result = registry.get_operator(URI)(folder, "SA-1B")
    assert result.result["message"] == "2 images in dataset sa 000"
    dataset = fo.load_dataset("sa 000")
    assert dataset.persistent
    assert dataset.count("masks.detections") > 10


def test_runs_delegated_without_a_dataset(registry, folder):
    queued = registry.get_operator(URI)(folder, "SA-1B", name="queued", max_samples=1, delegate=True)
    assert queued.delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(operator=URI)
    (done,) = service.list_operations(operator=URI)
    assert done.run_state == "completed", done.result
    assert len(fo.load_dataset("queued")) == 1


def test_form_tells_what_is_wrong_with_a_value(form, folder):
    fo.Dataset("queued")
    assert (
        "absolute path of a folder, got 'here'" in form("load_dataset", None, folder="here")["folder"]["error_message"]
    )
    fields = form("load_dataset", None, folder=str(folder), name="queued")
    assert "choose another name" in fields["name"]["error_message"]


def test_a_form_that_nobody_has_filled_yet_is_not_red(form, folder):
    fields = form("load_dataset", None)
    assert [name for name, field in fields.items() if field["invalid"]] == ["still_to_give"] == list(fields)[-1:]
    assert fields["still_to_give"]["view"]["name"] == "Notice"
    assert fields["still_to_give"]["error_message"].startswith("name the folder")
    assert "still_to_give" not in form("load_dataset", None, folder=str(folder))


def test_a_folder_of_another_layout_is_told(registry, folder):
    with pytest.raises(ExecutionError, match=r"looked for .*found"):
        registry.get_operator(URI)(folder, "Cityscapes")
    assert not fo.dataset_exists("sa 000")


def test_images_without_labels_are_counted(registry, folder):
    (folder / "sa_1.json").write_text("{")
    result = registry.get_operator(URI)(folder, "SA-1B")
    assert result.result["message"] == "2 images in dataset sa 000; 1 without masks that can be read"


def test_a_plain_folder_is_images_without_labels(registry, folder):
    for file in folder.glob("*.json"):
        file.unlink()
    result = registry.get_operator(URI)(folder)
    assert result.result["message"] == "2 images in dataset sa 000"
    dataset = fo.load_dataset("sa 000")
    assert "masks" not in dataset.get_field_schema()
    assert dataset.count("metadata.width") == 2


def test_a_folder_of_ones_own_keeps_the_masks_beside_its_images(registry, folder):
    registry.get_operator(URI)(folder, "Images", max_samples=1)
    assert fo.load_dataset("sa 000").count("masks.detections") > 10


def test_a_folder_without_images_is_told(registry, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").touch()
    with pytest.raises(ExecutionError, match=r"no image in .*found 1 \.txt"):
        registry.get_operator(URI)(tmp_path / "notes")
    assert not fo.dataset_exists("notes")
