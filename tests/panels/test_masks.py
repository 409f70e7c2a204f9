"""The panel Masks without a browser: each event answers, whatever is open."""

import json
from types import SimpleNamespace

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from bson import ObjectId, json_util
from fiftyone import ViewField as F
from fiftyone.operators.executor import Executor

from fiftyone_ssa.curation.confusions import count_confusions
from fiftyone_ssa.curation.counts import count_names, count_scores
from fiftyone_ssa.labels.job_record import JobRecord, begin
from fiftyone_ssa.labels.jobs import jobs
from fiftyone_ssa.plugin import NAME, install_plugin
from tools.app import wait_until

SHOWN = ("MarkdownView", "ProgressView", "Button")
"""Views of values that FiftyOne writes nowhere."""
VALUELESS = ("Object", "Void", "Plot", "List")
TABS = ("overview", "confusions", "compare", "scores", "parquet", "runs")


class App:
    """What the App holds for the panel: its state, and what the last event asked the App to do."""

    def __init__(self, panel, dataset=None, view=None, filters=None):
        self.panel, self.dataset, self.filters = panel, dataset, filters or {}
        self.stages = [] if view is None else json.loads(json_util.dumps(view._serialize()))
        self.state, self.done, self.id = {}, {}, str(ObjectId())

    def event(self, method="on_load", **params):
        request = {
            "dataset_name": None if self.dataset is None else self.dataset.name,
            "view": self.stages,
            "filters": self.filters,
            "params": {"__method__": method, "panel_id": self.id, "panel_state": self.state, **params},
        }
        executor = Executor()
        context = foo.ExecutionContext(request, executor=executor, operator_uri=f"{NAME}/masks")
        with context:
            self.panel.execute(context)
        self.done = {}
        for asked in executor._requests:
            self.done.setdefault(asked.operator_uri, []).append(json.loads(json.dumps(asked.params)))
        self.state = json.loads(json.dumps(context.panel.state._data))
        return self

    @property
    def data(self):
        """Path to the charts and tables that the App shows."""
        tables = {key: value for asked in self.done.get("patch_panel_data", ()) for key, value in asked["data"].items()}
        return tables | _charts(self.done["show_panel_output"][0]["output"]["type"]["properties"])

    @property
    def texts(self):
        """Every sentence that is shown."""
        return _texts(self.done["show_panel_output"][0]["output"]["type"]["properties"])


def _charts(properties, path=""):
    found = {}
    for name, field in properties.items():
        if field["view"] and field["view"]["name"] == "PlotlyView":
            found[path + name] = field["view"]["data"]
        found |= _charts(field["type"].get("properties") or {}, f"{path}{name}.")
    return found


def _texts(properties):
    found = []
    for field in properties.values():
        found += [field["default"]] if isinstance(field["default"], str) else []
        found += [field["view"]["label"]] if (field["view"] or {}).get("label") else []
        found += _texts(field["type"].get("properties") or {})
    return found


@pytest.fixture(scope="session")
def panel():
    install_plugin()
    return foo.OperatorRegistry().get_operator(f"{NAME}/masks")


def mask(label, runner_up, margin, **more):
    scores = [0.5 + margin / 2, 0.5 - margin / 2]
    about = {"class_name": label, "class_proposals": [label, runner_up], "proposal_scores": scores}
    box = [0.1 * (1 + len(label)), 0.1, 0.2, 0.2]
    more = {
        "mask_digest": f"{label:0>16}",
        "label_source": "coco",
        "confidence": scores[0],
        "vote_margin": margin,
    } | more
    return fo.Detection(label=label, bounding_box=box, **about | more)


@pytest.fixture
def dataset():
    dataset = fo.Dataset()
    rows = [
        [mask("sky", "sea", 0.02), mask("tree", "bush", 0.1)],
        [mask("sky", "sea", 0.9), mask("wall", "house", 0.31, review="accepted")],
    ]
    for place, row in enumerate(rows):
        other = [detection.copy() for detection in row]
        other[1].label = "house"
        fields = {"ssa": fo.Detections(detections=row), "other": fo.Detections(detections=other)}
        dataset.add_sample(fo.Sample(filepath=f"/{place}.png", **fields), dynamic=True)
    yield dataset
    dataset.delete()


def names_of(bars):
    return {json.loads(key): count for key, count in zip(bars[0]["ids"], bars[0]["x"], strict=True)}


def test_overview_shows_what_was_counted(panel, dataset):
    app = App(panel, dataset).event()
    found = count_names(dataset)
    assert names_of(app.data["overview.classes"]) == found.classes == {"sky": 2, "tree": 1, "wall": 1}
    assert names_of(app.data["overview.sources"]) == {"coco": 4}
    assert [trace["x"] for trace in app.data["overview.progress"]] == [[1], [0], [0], [3]]
    for name, histogram in zip(("vote_margin", "confidence"), count_scores(dataset), strict=True):
        assert tuple(app.data[f"overview.hist.{name}"][0]["y"]) == histogram.bars
    assert "4 masks in 2 images" in app.texts
    assert any("1 of 4, 25 %" in text for text in app.texts)


def test_a_click_on_a_name_shows_its_masks(panel, dataset):
    app = App(panel, dataset).event().event("on_class", id=json.dumps("tree"))
    app.stages = app.done["set_view"][0]["view"]
    assert shown(app).values("ssa.detections.label", unwind=True) == ["tree"]
    app.event("on_change_view")
    assert names_of(app.data["overview.classes"]) == {"tree": 1, "sky": 2, "wall": 1}  # what it left out stays in sight
    assert names_of(app.data["overview.sources"]) == {"coco": 1}
    assert "1 mask in 1 image" in app.texts
    assert "Close: masks named tree" in app.texts
    app.event("on_source", id=json.dumps("coco"))  # takes the other one's place
    app.stages = app.done["set_view"][0]["view"]
    assert len(shown(app).values("ssa.detections.label", unwind=True)) == 4
    app.event("on_close")
    assert app.done["set_view"][0]["view"] == []


def test_the_sidebars_filters_are_counted_and_cleared(panel, dataset):
    other = {"other.detections.label": {"values": ["house"], "exclude": False}}
    app = App(panel, dataset, filters=other | {"ssa.detections.label": {"values": ["tree"], "exclude": False}})
    app.state["label_field"] = "ssa"
    app.event()
    assert names_of(app.data["overview.classes"])["tree"] == 1
    assert app.event("on_clear").done["set_filters"] == [other]


def inputs(properties):
    """The properties whose value the App would write into the panel's state, by name."""
    found = []
    for name, field in properties.items():
        editable = (
            field["type"]["name"] not in ("Object", "Void", "Plot", "List") and field["view"]["name"] not in SHOWN
        )
        found += [name] if editable else []
        found += inputs(field["type"].get("properties") or {})
    return found


@pytest.mark.parametrize("tab", TABS)
def test_nothing_writes_the_panels_state_which_makes_the_app_load_its_page_anew(panel, dataset, tab):
    app = App(panel, dataset)
    record = JobRecord(begin("annotate", dataset, label_field="ssa"))
    for event, value in (
        ("on_load", None),
        ("on_tab", tab),
        ("on_field", "other"),
        ("on_other", "ssa"),
        ("on_log", None),
    ):
        app.event(event, value=value, job=jobs(dataset)[0].id)
        assert not {"set_panel_state", "patch_panel_state"} & app.done.keys()
        assert inputs(app.done["show_panel_output"][0]["output"]["type"]["properties"]) == []
        handed = [key for asked in app.done.get("patch_panel_data", ()) for key in asked["data"]]
        assert handed in ([], ["scores.table"])  # of what the panel is handed, the App writes tables nowhere
    for event in ("on_change_view", "on_timer", "on_change_active_fields", "on_clear", "on_change_dataset"):
        assert not {"set_panel_state", "patch_panel_state"} & app.event(event).done.keys()
    record.end("done", "")


def test_filters_that_the_app_drops_when_its_layout_changes_are_put_back(panel, dataset):
    chosen = {"ssa.detections.label": {"values": ["tree"], "exclude": False}}
    app = App(panel, dataset).event()

    def put_back():
        app.filters = chosen
        app.event("on_change_view")
        app.filters = {}
        return app.event("on_change_view").done.get("set_filters")

    assert [put_back() for _ in range(3)] == [[chosen], [chosen], None]  # it opened, it got its size, somebody cleared
    dataset.add_sample_field("new", fo.StringField)  # of a run, which lets the App read its dataset anew
    assert [put_back() for _ in range(2)] == [[chosen], None]
    app = App(panel, dataset, filters=chosen).event()
    app.filters = {}  # before the panel listens, so that the timer sees it first
    assert app.event("on_timer").done["set_filters"] == [chosen]


def test_a_drag_over_a_histogram_shows_a_range(panel, dataset):
    app = App(panel, dataset).event()
    app.event("on_vote_margin", data=[{"idx": 2}, {"idx": 3}, {"idx": 4}])
    app.stages = app.done["set_view"][0]["view"]
    app.event("on_change_view")
    assert "1 mask in 1 image" in app.texts
    assert "Close: masks of vote margin 0.05 to 0.12" in app.texts
    assert sum(app.data["overview.hist.vote_margin"][0]["y"]) == 4
    assert sum(app.data["overview.hist.confidence"][0]["y"]) == 1
    assert "set_view" not in app.event("on_vote_margin", data=[]).done  # as Plotly says when it draws anew
    before = app.data
    assert app.event("on_change_view").data == before


def test_a_pair_opens_its_masks_and_is_closed_again(panel, dataset):
    app = App(panel, dataset)
    app.state["tab"] = "confusions"
    app.event()
    (first, *_) = count_confusions(dataset)
    assert json.loads(app.data["confusions.pairs"][0]["ids"][0]) == [first.name, first.other]
    app.event("on_confusion", id=json.dumps(["sky", "sea"]))
    app.stages = app.done["set_view"][0]["view"]
    assert shown(app).values("ssa.detections.label", unwind=True) == ["sky"]
    app.event("on_confusion", id=json.dumps(["tree", "bush"]))  # takes the other one's place
    app.stages = app.done["set_view"][0]["view"]
    assert shown(app).values("ssa.detections.label", unwind=True) == ["tree"]
    assert "Close: masks that confuse tree and bush" in app.event("on_change_view").texts
    assert len(app.data["confusions.pairs"][0]["ids"]) == len(count_confusions(dataset)) > 1  # the others stay
    app.event("on_close")
    assert app.done["set_view"][0]["view"] == []


def shown(app):
    return fo.DatasetView._build(app.dataset, app.stages)


def test_compare_counts_and_opens_differences(panel, dataset):
    app = App(panel, dataset)
    app.state["tab"] = "compare"
    app.event()
    pairs = {tuple(json.loads(key)) for key in app.data["compare.pairs"][0]["ids"]}
    assert pairs == {("tree", "house"), ("wall", "house")}
    assert any("4 of 4 masks are in both (the same pixels); 2 of them, 50 %" in text for text in app.texts)
    app.event("on_difference", id=json.dumps(["wall", "house"]))
    app.stages = app.done["set_view"][0]["view"]
    assert shown(app).values("ssa.detections.label", unwind=True) == ["wall"]


def test_a_field_is_chosen_and_counted(panel, dataset):
    app = App(panel, dataset).event("on_field", value="other")
    assert names_of(app.data["overview.classes"]) == {"sky": 2, "house": 2}
    assert names_of(app.event("on_change_dataset").data["overview.classes"]) == {"sky": 2, "tree": 1, "wall": 1}


def test_scores_side_by_side(panel, tmp_path):
    from fiftyone_ssa.labels.evaluation import evaluate

    dataset = fo.Dataset()
    truth = np.array([[1, 1], [2, 2]], np.uint8)
    maps = {"truth": truth, "good": truth, "bad": np.array([[1, 1], [1, 2]], np.uint8)}
    dataset.add_sample(
        fo.Sample(filepath="/a.png", **{name: fo.Segmentation(mask=values) for name, values in maps.items()})
    )
    dataset.mask_targets = {name: {1: "sky", 2: "sea"} for name in maps}
    app = App(panel, dataset)
    app.state["tab"] = "scores"
    assert any("Nothing was evaluated yet" in text for text in app.event().texts)
    for name in ("good", "bad"):
        evaluate(dataset, name, "truth", eval_key=f"of_{name}", progress=False)
    rows = {row["name"]: (row["of_good"], row["of_bad"]) for row in app.event().data["scores.table"]}
    assert rows["mIoU"] == ("100.0", "58.3")
    assert (rows["sky"], rows["sea"]) == (("100.0", "66.7"), ("100.0", "50.0"))
    assert list(rows)[3:] == ["sea", "sky"]
    dataset.delete()


def test_a_view_without_masks_says_what_to_do(panel):
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath="/a.png", ssa=fo.Detections()))
    texts = App(panel, dataset).event().texts
    assert any("0 masks in 1 image" in text for text in texts)
    assert any("shows no mask of this field" in text for text in texts)
    assert not any("click one to show its masks" in text for text in texts)
    dataset.delete()


def test_jobs_are_listed_and_their_end_is_announced(panel, dataset):
    app = App(panel, dataset)
    app.state["tab"] = "runs"
    assert any("Nothing ran on this dataset yet" in text for text in app.event().texts)
    app.event("on_timer")
    record = JobRecord(begin("annotate", dataset, label_field="ssa"))
    with record.running():
        record.progress(SimpleNamespace(iteration=1, total=4))
        wait_until(lambda: jobs(dataset)[0].done == 1, "the job does not say how far it is")
    app.event("on_timer")
    assert "notify" not in app.done
    assert any(text.startswith("1 of 4 images") for text in app.texts)
    assert "Cancel" in app.texts
    record.end("done", "4 images named")
    app.event("on_timer")
    assert app.done["notify"] == [{"message": "annotate: 4 images named", "variant": "success"}]
    assert f"{NAME}/read_samples_anew" in app.done
    assert "reload_dataset" not in app.done  # which blanks the page, and is for new fields
    assert "notify" not in app.event("on_timer").done


def test_new_fields_are_shown_when_a_job_ends_and_what_its_request_tells_is_told_once(panel, dataset):
    app, other = App(panel, dataset).event(), App(panel, dataset).event()
    for window in (app, other):
        window.event("on_timer")
    record = JobRecord(begin("evaluate", dataset, told=[app.id]))
    dataset.add_sample_field("run_miou", fo.FloatField)
    record.end("done", "mIoU 50 %")
    assert not {"notify", "reload_dataset", f"{NAME}/read_samples_anew"} & set(app.event("on_timer").done)
    assert {"notify", "reload_dataset"} <= set(other.event("on_timer").done)


def test_a_job_that_starts_opens_its_tab(panel, dataset):
    app = App(panel, dataset).event()
    begin("annotate", dataset, label_field="ssa")
    assert "Cancel" in app.event("on_job").texts


def test_what_others_write_is_counted_when_the_timer_looks(panel, dataset):
    app = App(panel, dataset).event()
    before = app.data
    assert app.event("on_timer").data == before
    dataset.set_values("ssa.detections.review", [["accepted", "rejected"], ["accepted", "accepted"]])
    assert [trace["x"] for trace in app.event("on_timer").data["overview.progress"]] == [[3], [0], [1], [0]]


def test_videos_are_told_that_masks_are_of_images(panel):
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath="/a.mp4"))
    app = App(panel, dataset)
    assert any("this is a dataset of type video" in text for text in app.event().texts)


@pytest.mark.parametrize("tab", TABS)
def test_nothing_open_no_images_no_masks_and_somebody_elses(panel, tab):
    app = App(panel)
    app.state["tab"] = tab
    assert any("Open a dataset" in text for text in app.event().texts)
    dataset = fo.Dataset()
    app = App(panel, dataset)
    app.state["tab"] = tab
    app.event()
    if tab in ("overview", "confusions", "compare"):
        assert any("No field of this dataset holds masks yet" in text for text in app.texts)
    boxes = fo.Detections(detections=[fo.Detection(label="cat", bounding_box=[0, 0, 1, 1])])
    dataset.add_sample(fo.Sample(filepath="/a.png", boxes=boxes, none=fo.Detections()))
    app.event("on_change_view")
    app.event("on_timer")
    if tab == "overview":
        assert any("SSA named none of these masks" in text for text in app.event("on_change_view").texts)
    app.stages = json.loads(json_util.dumps(dataset.match(F("boxes") == "x")._serialize()))
    app.event("on_change_view")
    dataset.delete()


@pytest.mark.parametrize("tab", TABS)
def test_patches(panel, dataset, tab):
    app = App(panel, dataset, view=dataset.to_patches("ssa"))
    app.state["tab"] = tab
    app.event()
    if tab == "overview":
        assert names_of(app.data["overview.classes"]) == {"sky": 2, "tree": 1, "wall": 1}
        app.event("on_class", id=json.dumps("tree"))
        app.stages = app.done["set_view"][0]["view"]
        assert shown(app).values("ssa.label") == ["tree"]


@pytest.mark.parametrize("tab", TABS)
def test_groups_and_videos(panel, tab):
    dataset = fo.Dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    for name, count in (("left", 1), ("right", 3)):
        masks = fo.Detections(detections=[mask(name, "sea", 0.5) for _ in range(count)])
        dataset.add_sample(fo.Sample(filepath="/a.png", group=group.element(name), ssa=masks), dynamic=True)
    app = App(panel, dataset)
    app.state["tab"] = tab
    assert ("1 mask in 1 image" in app.event().texts) == (tab == "overview")
    dataset.delete()
    videos = fo.Dataset()
    videos.add_sample(fo.Sample(filepath="/a.mp4"))
    app = App(panel, videos)
    app.state["tab"] = tab
    app.event()
    videos.delete()


@pytest.mark.parametrize("key", ["sky", ["sky", None], ["sky"], 5, None, {"a": 1}])
def test_a_click_with_another_charts_key_or_odd_names_is_answered(panel, dataset, key):
    app = App(panel, dataset).event()
    for method in ("on_class", "on_source", "on_confusion", "on_difference", "on_rows"):
        app.event(method, id=json.dumps(key))
    for data in (None, [], [{"idx": "x"}]):
        assert "set_view" not in app.event("on_confidence", data=data).done


def rename(dataset):
    dataset.rename_sample_field("ssa", "renamed")


def delete_field(dataset):
    dataset.delete_sample_field("ssa")


def delete(dataset):
    dataset.delete()


@pytest.mark.parametrize("change", [rename, delete_field, delete])
@pytest.mark.parametrize("tab", TABS)
def test_what_somebody_takes_away_while_the_panel_is_open_is_told(panel, dataset, tab, change):
    clone = dataset.clone()
    app = App(panel, clone)
    app.state["tab"] = tab
    app.event().event("on_class", id=json.dumps("sky"))
    app.stages, name = json.loads(json.dumps(app.done["set_view"][0]["view"])), clone.name
    change(clone)
    app.dataset = SimpleNamespace(name=name)
    for method in ("on_timer", "on_change_view", "on_load", "on_close", "on_job"):
        assert any("What the App shows is no longer there" in text for text in app.event(method).texts)
    if change is not delete:
        app.stages = []
        assert not any("no longer there" in text for text in app.event("on_change_view").texts)
        clone.delete()
