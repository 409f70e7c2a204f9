"""Review from the App: the operators headless, their forms, and what they refuse."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_ssa.plugin import NAME

ROWS = (("dog", 0.9), ("dog", 0.2), ("sky", 0.6))


@pytest.fixture
def dataset(photographs):
    """Three images with three masks each, as SSA names them."""
    photographs.add_sample_field("ssa", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    for sample in photographs:
        sample["ssa"] = fo.Detections(
            detections=[
                fo.Detection(
                    label=label,
                    class_name=label,
                    vote_margin=margin,
                    class_proposals=[label, "cat"],
                    proposal_scores=[margin, 0.1],
                    bounding_box=[0.25 * place, 0, 0.25, 1],
                    mask=np.ones((2, 2), bool),
                )
                for place, (label, margin) in enumerate(ROWS)
            ]
        )
        sample.save()
    photographs.add_dynamic_sample_fields()
    return photographs


@pytest.fixture
def execute(registry, dataset):
    """A function that runs an operator on the dataset, or a view of it."""

    def run(name, samples=None, **params):
        context = {"dataset": dataset, **({"view": samples} if samples is not None else {})}
        return foo.execute_operator(f"{NAME}/{name}", context, params=params).result

    return run


def reviews(dataset):
    dataset.reload()
    return [dict.get(d.to_dict(), "review") for sample in dataset for d in sample.ssa.detections]


def test_a_queue_its_masks_a_decision_and_its_undo(execute, dataset):
    queue = execute("review_queue", limit=4)
    assert (queue["total"], queue["open"], queue["reviewed"], len(queue["ids"])) == (9, 9, 0, 4)
    assert queue["names"] == ["dog", "sky"]
    assert (queue["label_field"], queue["fields"]) == ("ssa", ["ssa"])
    items = execute("review_item", items=[row[:2] for row in queue["ids"]])["items"]
    assert [(item["sample_id"], item["mask_id"]) for item in items] == [tuple(row[:2]) for row in queue["ids"]]
    assert items[0]["margin"] == 0.2
    assert items[0]["proposals"] == [{"name": "dog", "score": 0.2}, {"name": "cat", "score": 0.1}]
    first = items[0]
    named = execute("relabel", ids=[first["mask_id"]], sample_ids=[first["sample_id"]], proposal=2)
    assert (named["masks"], named["message"]) == (1, "named 1 mask by their proposal 2 in 1 image")
    assert execute("review_item", items=[queue["ids"][0][:2]])["items"][0]["state"] == "corrected"
    assert execute("review_queue")["reviewed"] == 1
    undone = execute("review", action="undo", token=named["token"])
    assert undone["message"] == "took back 1 mask (relabel) in 1 image"
    assert execute("review_queue")["open"] == 9


def test_defaults_hold_where_no_form_was_filled_in(execute, dataset):
    assert execute("review", dry_run=True)["message"] == "accepts 9 masks in 3 images"
    assert reviews(dataset) == [None] * 9
    assert execute("review")["message"] == "accepted 9 masks in 3 images"
    assert reviews(dataset) == ["accepted"] * 9
    with pytest.raises(foo.executor.ExecutionError, match=r"or the number of a proposal"):
        execute("relabel")
    with pytest.raises(foo.executor.ExecutionError, match="name a class to rename"):
        execute("rename_classes")
    assert execute("review_item") == {"items": []}


def test_what_the_view_shows_is_decided(execute, dataset):
    view = dataset.limit(2).filter_labels("ssa", fo.ViewField("label") == "dog")
    message = execute("review", view, action="accept", min_margin=0.5)["message"]
    assert message == "accepted 2 masks above margin 0.5 in 2 images"
    assert execute("rename_classes", view, mapping="dog = hound")["message"] == (
        "renamed 4 masks (dog to hound: 4) in 2 images; 2 of them were reviewed already"
    )
    assert dataset.count_values("ssa.detections.label") == {"dog": 2, "hound": 4, "sky": 3}


@pytest.mark.parametrize("job", ["relabel", "rename_classes"])
def test_a_form_that_nobody_has_filled_yet_is_not_red(form, dataset, job):
    fields = form(job, dataset)
    assert [name for name, field in fields.items() if field["invalid"]] == ["still_to_give"]


@pytest.mark.parametrize(
    ("job", "params", "sentence"),
    [
        ("review", {"action": "bless"}, "action must be one of accept, reject, reopen, undo, got 'bless'"),
        ("review", {"action": 0}, "action must be one of accept, reject, reopen, undo, got 0"),
        ("review", {"min_margin": 3}, "min_margin must be a number from 0 to 1, got 3"),
        ("review", {"class_name": " \n"}, "a class name must not be empty"),
        ("review", {"ids": ["x"]}, "ids must be ids as FiftyOne shows them"),
        ("review", {"ids": [None]}, "ids must be ids as FiftyOne shows them"),
        ("review", {"ids": ["0" * 24]}, "none of the 1 mask is in 'ssa'"),
        ("review", {"label_field": "nothing"}, "label_field must be a Detections field of"),
        ("review", {"action": "undo"}, "there is nothing to take back on 'ssa'"),
        ("review", {"action": "undo", "token": "abc"}, "there is no decision 'abc'"),
        ("relabel", {"label": "dog", "proposal": 1}, r"or the number of a proposal"),
        ("relabel", {"label": " "}, "a class name must not be empty"),
        ("relabel", {"label": "a\x00b"}, "a class name is one line of plain text"),
        ("relabel", {"label": "a" * 101}, "a class name has at most 100 characters, got 101"),
        ("relabel", {"label": 7}, "a class name must be text, got 7"),
        ("relabel", {"proposal": 0}, "proposal must be a whole number, 1 for the first; got 0"),
        ("relabel", {"proposal": 1, "sample_ids": "x", "ids": ["0" * 24]}, "sample_ids must be a list of ids, got 'x'"),
        ("relabel", {"label": "dog", "sample_ids": ["0" * 24]}, "sample_ids say where ids are; pass ids, too"),
        ("relabel", {"label": "dog", "dry_run": []}, "dry_run must be true or false, got []"),
        ("relabel", {"label": "dog", "label_field": []}, "label_field must be a Detections field of"),
        ("rename_classes", {"mapping": "dog"}, "a line must be: old name = new name; got 'dog'"),
        ("rename_classes", {"mapping": 3}, "mapping must be lines of old name = new name, got 3"),
        ("rename_classes", {"mapping": "dog = a\ndog = b"}, "'dog' is to become both 'a' and 'b'"),
        ("rename_classes", {"mapping": "cow = a"}, "no mask here is named 'cow'"),
        ("rename_classes", {"mapping": "dog = dog"}, "'dog' would be renamed to itself"),
    ],
)
def test_form_and_run_say_what_is_wrong_in_the_same_sentence(execute, form, dataset, job, params, sentence):
    refused = form(job, dataset, **params)["refusal"]
    assert refused["invalid"]
    assert sentence in refused["error_message"]
    with pytest.raises(foo.executor.ExecutionError) as error:
        execute(job, **params)
    assert refused["error_message"] in str(error.value)


@pytest.mark.parametrize(
    ("job", "params", "sentence"),
    [
        ("review_queue", {"order": "random"}, "order must be one of doubt, area, class; got 'random'"),
        ("review_queue", {"states": "open"}, "states must be a list of"),
        ("review_queue", {"states": [["open"]]}, "states must be a list of"),
        ("review_queue", {"class_name": 10**30}, "class_name must be a name or None"),
        ("review_queue", {"limit": 0}, "limit must be a whole number from 1 on, got 0"),
        ("review_queue", {"label_field": "x"}, "label_field must be a Detections field"),
        ("review_item", {"items": [["a", "b"]]}, "items must be pairs of a sample's and a mask's id"),
        ("review_item", {"items": [["0" * 24, "0" * 24]] * 21}, "items must be at most 20 pairs"),
    ],
)
def test_what_a_panel_asks_wrongly_is_told(execute, job, params, sentence):
    with pytest.raises(foo.executor.ExecutionError, match=sentence):
        execute(job, **params)


def test_forms_say_what_will_happen(form, dataset):
    fields = form("review", dataset, action="accept", class_name="dog", min_margin=0.4)
    label = fields["preview"]["view"]["label"]
    assert label == "Of all that the view shows: accepts 3 masks of 'dog' above margin 0.4 in 3 images"
    assert "class_name" not in form("review", dataset, action="undo")
    assert "names 9 masks 'hound' in 3 images" in form("relabel", dataset, label="hound")["preview"]["view"]["label"]
    renamed = form("rename_classes", dataset, mapping="dog = hound")["preview"]["view"]["label"]
    assert "renames 6 masks (dog to hound: 6) in 3 images" in renamed
    assert reviews(dataset) == [None] * 9


def test_the_app_is_told_by_the_forms_own_names(form, dataset):
    refused = form("review", dataset, min_margin=3, app={"extended": {}})["refusal"]
    told = "'Only above margin' must be a number from 0 to 1, got 3"
    assert (refused["error_message"], refused["view"]["label"]) == (told, told)


def test_without_a_dataset_there_is_one_sentence(form):
    for job in ("review", "relabel", "rename_classes"):
        assert "no dataset is open" in form(job, None)["refusal"]["error_message"]


def test_selected_labels_are_meant(registry, dataset):
    ids = [(sample.id, sample.ssa.detections[1].id) for sample in dataset.limit(2)]
    selected = [{"sample_id": sample, "label_id": mask, "field": "ssa"} for sample, mask in ids]
    context = {"dataset": dataset, "selected_labels": selected}
    result = foo.execute_operator(f"{NAME}/review", context, params={"action": "reject"}).result
    assert result["message"] == "rejected 2 masks in 2 images"
    assert reviews(dataset) == [None, "rejected", None] * 2 + [None] * 3


def test_selected_patches_and_images_are_meant(registry, dataset):
    patches = dataset.to_patches("ssa")
    context = {"dataset": dataset, "view": patches, "selected": patches.values("id")[:2]}
    assert foo.execute_operator(f"{NAME}/review", context).result["message"] == "accepted 2 masks in 1 image"
    context = {"dataset": dataset, "selected": [dataset.last().id]}
    result = foo.execute_operator(f"{NAME}/review", context, params={"action": "reject"}).result
    assert result["message"] == "rejected 3 masks in 1 image"


def test_labels_that_are_selected_in_another_field_say_which_is_meant(registry, dataset):
    dataset.clone_sample_field("ssa", "other")
    first = dataset.first()
    selected = [{"sample_id": first.id, "label_id": first.other.detections[0].id, "field": "other"}]
    foo.execute_operator(f"{NAME}/review", {"dataset": dataset, "selected_labels": selected})
    dataset.reload()
    assert dataset.count_values("other.detections.review") == {"accepted": 1, None: 8}
    assert reviews(dataset) == [None] * 9


def test_the_sidebar_filters_a_saved_view_too(registry, dataset):
    dataset.save_view("two", dataset.limit(2))
    filters = {"ssa.detections.label": {"values": ["sky"], "exclude": False, "isMatching": False}}
    request = {
        "dataset_name": dataset.name,
        "view_name": "two",
        "view": [],
        "filters": filters,
        "params": {"quiet": True},
    }
    context = foo.ExecutionContext(request, operator_uri=f"{NAME}/review")
    operator = registry.get_operator(f"{NAME}/review")
    with context:
        assert operator.execute(context)["message"] == "accepted 2 masks in 2 images"


def test_the_field_that_the_app_draws_is_meant(registry, dataset):
    dataset.clone_sample_field("ssa", "other")
    for active, field in (([], "ssa"), (["filepath", "other"], "other")):
        context = {"dataset": dataset, "active_fields": active}
        assert foo.execute_operator(f"{NAME}/review_queue", context).result["label_field"] == field


def test_a_dataset_without_masks_has_an_empty_queue(registry, photographs):
    queue = foo.execute_operator(f"{NAME}/review_queue", {"dataset": photographs}).result
    assert (queue["label_field"], queue["fields"], queue["ids"]) == (None, [], [])


def test_a_quiet_decision_leaves_announcing_to_its_caller(registry, dataset):
    context = {"dataset": dataset}
    mask = dataset.first().ssa.detections[0].id
    for params, asked in (({}, {"notify", "read_samples_anew"}), ({"quiet": True}, set()), ({"dry_run": True}, set())):
        result = foo.execute_operator(f"{NAME}/review", context, params={"ids": [mask], **params})
        requests = {request.operator_uri.split("/")[-1] for request in result.executor._requests}
        assert requests == asked
