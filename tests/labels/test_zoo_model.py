"""The repository as a remote source of FiftyOne's zoo: registered from a zip, loaded by name, applied to datasets."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fiftyone as fo
import fiftyone.zoo as foz
import PIL.Image
import pytest

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.labels import zoo_model
from fiftyone_ssa.labels.documents import ENGINE_ATTRIBUTES, SSA_ATTRIBUTES
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections
from fiftyone_ssa.models.catalogue import preset_models
from fiftyone_ssa.plugin import install_zoo_source
from fiftyone_ssa.presets import preset_names
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Inputs

ROOT = Path(__file__).parents[2]
QUICK = {"masks.points_per_side": 4, "masks.crop_n_layers": 0}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The repository as its host gives it: a zip with a folder in it, here at a local address."""
    folder = tmp_path_factory.mktemp("host")
    with zipfile.ZipFile(folder / "ssa-main.zip", "w") as archive:
        for name in ("manifest.json", "__init__.py", "fiftyone.yml"):
            archive.write(ROOT / name, f"ssa-main/{name}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/ssa-main.zip"
    server.shutdown()
    server.server_close()
    shutil.rmtree(fo.config.model_zoo_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def model(source):
    foz.register_zoo_model_source(source, overwrite=True)  # a block of the docs may have registered it here
    return foz.load_zoo_model("ssa-mini", device="cpu", settings=QUICK)


@pytest.fixture
def dataset(tmp_path):
    paths = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        PIL.Image.fromarray(draw_scene(seed).image).resize((160 + 8 * seed, 120)).save(path)
    paths[1].write_bytes(paths[1].read_bytes()[:2_000])
    found = fo.Dataset()
    found.add_samples([fo.Sample(filepath=str(path)) for path in paths])
    yield found
    found.delete()


def test_source_lists_every_preset(source, model):
    assert source in foz.list_zoo_model_sources()
    assert set(foz.list_zoo_models(source=source)) == set(zoo_model.MODELS)
    assert set(zoo_model.MODELS.values()) == set(preset_names()), "each preset has a name in the zoo"
    listed = json.loads((ROOT / "manifest.json").read_text())["models"]
    assert [entry["base_name"] for entry in listed] == list(zoo_model.MODELS)


def test_installed_package_is_a_source_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(fo.config, "model_zoo_dir", str(tmp_path))
    assert install_zoo_source() == install_zoo_source()
    assert foz.get_zoo_model("ssa-mini").name == "ssa-mini"
    foz.download_zoo_model("ssa-mini")
    assert foz.is_zoo_model_downloaded("ssa-mini")


def test_downloaded_is_what_has_its_weights(model):
    assert foz.is_zoo_model_downloaded("ssa-mini")
    path = foz.download_zoo_model("ssa-mini")[1]
    weights = [Path(name).name for name in preset_models(zoo_model.zoo_preset("ssa-mini"))]
    assert json.loads(Path(path).read_text())["weights"] == weights
    with pytest.raises(MissingDependencyError, match="internet"):
        foz.load_zoo_model("ssa-ade20k-b0", cache=False)
    assert not foz.is_zoo_model_downloaded("ssa-ade20k-b0")


@pytest.mark.parametrize("loader", [{"batch_size": 3, "num_workers": 0}, {"num_workers": 1}])
def test_masks_are_the_pipelines_and_a_bad_picture_costs_itself_only(model, dataset, loader, caplog):
    with caplog.at_level(logging.WARNING):
        dataset.apply_model(model, label_field="names", **loader)
    bad = dataset.skip(1).first()
    assert dataset.exists("names").values("id") == [sample.id for sample in dataset if sample.id != bad.id]
    assert list(model.errors) == [bad.filepath]
    assert "damaged" in model.errors[bad.filepath]
    for sample in dataset.exists("names"):
        (wanted,) = model._pipeline([Inputs(read_image(sample.filepath))])
        assert tuple(sample.names.detections[i].label for i in range(len(wanted.masks))) == wanted.labels
        assert mask_set_from_detections(sample.names, wanted.masks.size_hw).rles == wanted.masks.rles
    declared = dataset.get_field_schema(flat=True)
    assert {f"names.detections.{name}" for name in SSA_ATTRIBUTES} <= set(declared)
    assert sum(dataset.count_values("names.detections.class_proposals").values()) > 0
    assert dataset.bounds("names.detections.vote_share")[1] <= 1


def test_class_maps_come_along_where_asked_for(source, model, dataset):
    with_maps = zoo_model.ZooModel(model._pipeline, model.preset, semantic=True)
    dataset.apply_model(with_maps, label_field="ssa", batch_size=4, num_workers=0, confidence_thresh=0.01)
    assert dataset.count("ssa_detections") == dataset.count("ssa_semantic") == 3
    (wanted,) = model._pipeline([Inputs(read_image(dataset.first().filepath))])
    assert ((dataset.first().ssa_semantic.mask.astype(int) - 1) % 256 == wanted.semantic.ids).all()
    assert dataset.mask_targets["ssa_semantic"] == dict(enumerate(wanted.semantic.names, 1))


def test_an_engine_names_the_masks_of_a_field(source, model, dataset):
    dataset.apply_model(model, label_field="given", batch_size=4, num_workers=0)
    engine = foz.load_zoo_model("ssa-mini-engine", device="cpu", existing_masks=True)
    view = dataset.exists("given").limit(2)
    view.apply_model(engine, label_field="engine", masks="given", batch_size=2, num_workers=0)
    for sample in view:
        assert len(sample.engine.detections) == len(sample.given.detections) > 0
        size_hw = read_image(sample.filepath).shape[:2]
        masks = [mask_set_from_detections(sample[field], size_hw).rles for field in ("engine", "given")]
        assert masks[0] == masks[1]
    declared = dataset.get_field_schema(flat=True)
    assert {f"engine.detections.{name}" for name in ENGINE_ATTRIBUTES} <= set(declared)
    assert view.count_values("engine.detections.caption")


def test_one_picture_at_a_time(model, dataset):
    image = read_image(dataset.first().filepath)
    assert [detection.label for detection in model.predict(image).detections]
    with pytest.raises(InputError, match="RGB"):
        model.predict(image[:, :, 0])


def test_what_cannot_be_is_refused():
    for wrong in ("ssa", "", "mini-ssa"):
        with pytest.raises(InputError, match="ssa-ade20k"):
            zoo_model.zoo_preset(wrong)
    with pytest.raises(InputError, match="no class maps"):
        zoo_model.load("ssa-mini-engine", semantic=True)
    with pytest.raises(InputError, match="points_per_side"):
        zoo_model.load("ssa-mini", settings={"masks.points_per_side": 0})


def test_the_apps_form_asks_for_what_load_takes(source, model):
    found = foz.get_zoo_model("ssa-mini-engine")
    assert set(found.resolve_input(None).type.properties) == {"device", "vocabulary"}
    chosen = {"device": "cpu", "vocabulary": "kiosk, scooter"}
    found.parse_parameters(None, chosen)
    assert chosen == {"device": "cpu", "settings": {"open_vocabulary.vocabulary": ["kiosk", "scooter"]}}
    assert set(foz.get_zoo_model("ssa-ade20k").resolve_input(None).type.properties) == {"device", "semantic"}
