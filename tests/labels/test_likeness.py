"""Embeddings that runs keep, and masks found by them, on drawn scenes with the small models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_ssa import annotate, clean, embed, find_like, relabel, review
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels import brain, embeddings, kept
from fiftyone_ssa.labels.clean import default_folder
from fiftyone_ssa.labels.documents import masks_document
from fiftyone_ssa.quickstart.run import draw

SCENES = 2
OVERRIDES = {
    "masks.source": "existing",
    "open_vocabulary.captioner": "",
    "open_vocabulary.decider": "filter",
    "open_vocabulary.decision": "published",
}
"""The class filter alone, as nothing else looks at embeddings."""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fo.Dataset]:
    """Scenes whose own masks (`regions`) are named in `engine`, with embeddings."""
    folder = tmp_path_factory.mktemp("scenes")
    dataset = fo.Dataset(persistent=True)
    for seed in range(SCENES):
        scene = draw(seed)
        save_png(scene.image, folder / f"{seed}.png")
        masks = masks_document(scene.mask_set(), folder, {"label": [node.name for node in scene.regions()]})
        dataset.add_sample(fo.Sample(filepath=str(folder / f"{seed}.png"), regions=fo.Detections.from_dict(masks)))
    run(dataset, keep_embeddings=True)
    yield dataset
    dataset.delete()


@pytest.fixture
def dataset(named: fo.Dataset) -> Iterator[fo.Dataset]:
    """A clone to change."""
    clone = named.clone(persistent=True)
    yield clone
    clone.delete()


def run(dataset: Any, **options: Any) -> Any:
    return annotate(
        dataset,
        "mini-engine",
        **{"label_field": "engine", "masks_field": "regions", "overrides": OVERRIDES, **options},
    )


def ids_of(dataset: fo.Dataset, field: str = "engine") -> list[str]:
    return dataset.values(f"{field}.detections.id", unwind=True)


def rows_of(dataset: fo.Dataset, field: str = "engine") -> dict[str, Any]:
    """Mask id to vector, of all files that the labels name."""
    files = dataset.values(f"{field}.{embeddings.PATH}")
    rows = [row for path in files if path for row in embeddings.read(path)]
    return {row["id"].tobytes().hex(): row["vector"] for row in rows}


def test_every_mask_has_one_vector_under_its_id(named: fo.Dataset) -> None:
    rows = rows_of(named)
    assert sorted(rows) == sorted(ids_of(named))
    assert {vector.dtype for vector in rows.values()} == {np.dtype("<f2")}
    np.testing.assert_allclose([np.linalg.norm(vector.astype(float)) for vector in rows.values()], 1, atol=1e-3)


def test_names_and_ids_are_the_same_without(named: fo.Dataset, dataset: fo.Dataset) -> None:
    run(dataset, label_field="plain")
    for name in ("label", "confidence", "class_proposals"):
        path = f"detections.{name}"
        assert dataset.values(f"plain.{path}") == named.values(f"engine.{path}")
    assert not embeddings.are_kept(dataset, "plain")


def test_results_without_are_done_again_and_then_skipped(dataset: fo.Dataset) -> None:
    run(dataset, label_field="plain")
    assert run(dataset, label_field="plain").skipped == SCENES
    summary = run(dataset, label_field="plain", keep_embeddings=True)
    assert (summary.done, dict(summary.redone)) == (SCENES, {"image without embeddings": SCENES})
    assert sorted(rows_of(dataset, "plain")) == sorted(ids_of(dataset, "plain"))
    assert run(dataset, label_field="plain", keep_embeddings=True).skipped == SCENES
    Path(dataset.first().plain.embeddings_path).unlink()
    assert run(dataset, label_field="plain").skipped == SCENES  # who does not ask for them does not miss them
    assert run(dataset, label_field="plain", keep_embeddings=True).done == 1


def test_a_mask_that_a_person_touched_keeps_its_vector(named: fo.Dataset, dataset: fo.Dataset) -> None:
    touched = dataset.first().engine.detections[2].id
    relabel(dataset, "engine", ids=[touched], label="something else")
    before = rows_of(dataset)[touched]
    assert run(dataset, overwrite=True).kept == 1
    rows = rows_of(dataset)
    assert sorted(rows) == sorted(ids_of(dataset))
    np.testing.assert_array_equal(rows[touched], before)
    assert rows_of(named)[touched] is not None  # the clone's run left the first one's files alone


def test_masks_that_are_named_in_place_keep_their_ids(dataset: fo.Dataset) -> None:
    before = ids_of(dataset, "regions")
    run(dataset, label_field="regions", keep_embeddings=True)
    assert ids_of(dataset, "regions") == before
    rows, first = rows_of(dataset, "regions"), rows_of(dataset)
    assert sorted(rows) == sorted(before)
    for mine, theirs in zip(before, ids_of(dataset), strict=True):
        np.testing.assert_array_equal(rows[mine], first[theirs])


def test_clean_removes_what_no_label_names(dataset: fo.Dataset) -> None:
    run(dataset, label_field="plain", keep_embeddings=True)
    first = dataset.values(f"plain.{embeddings.PATH}")
    run(dataset, label_field="plain", overwrite=True)  # goes on keeping them
    second = dataset.values(f"plain.{embeddings.PATH}")
    assert clean(dataset).files == SCENES
    assert [Path(path).exists() for path in (*first, *second)] == [False] * SCENES + [True] * SCENES
    copy = dataset.clone()
    dataset.delete_sample_field("plain")
    assert clean(dataset).files == 0
    copy.delete()
    assert clean(dataset).files == SCENES
    assert not list((default_folder(dataset) / "plain_embeddings").iterdir())


def test_embed_keeps_what_the_engine_would(dataset: fo.Dataset) -> None:
    done = embed(dataset.limit(1), "regions", "mini-engine", batch_size=1)
    assert (done.images, done.skipped, done.errors) == (1, 0, {})
    assert str(embed(dataset, "regions", "mini-engine")).endswith("1 image with theirs already")
    rows, first = rows_of(dataset, "regions"), rows_of(dataset)
    for mine, theirs in zip(ids_of(dataset, "regions"), ids_of(dataset), strict=True):
        np.testing.assert_array_equal(rows[mine], first[theirs])
    assert [row.label for row in dataset.first().regions.detections] == [n.name for n in draw(0).regions()]


def test_an_image_that_cannot_be_read_is_named(dataset: fo.Dataset, tmp_path: Path) -> None:
    shutil.copy(dataset.first().filepath, tmp_path / "broken.png")
    sample = dataset.first()
    sample.filepath = str(tmp_path / "broken.png")
    sample.save()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = embed(dataset, "regions", "mini-engine")
    assert (done.images, list(done.errors)) == (SCENES - 1, [str(tmp_path / "broken.png")])


def test_the_nearest_are_those_of_a_plain_search(named: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {identity: vector.astype(np.float64) for identity, vector in rows_of(named).items()}
    query = ids_of(named)[5]
    scores = {identity: vector @ rows[query] for identity, vector in rows.items()}
    found = find_like(named, [query], "engine", k=12)
    assert found.ids[0] == query
    assert [scores[identity] for identity in found.ids] == pytest.approx(sorted(scores.values())[:-13:-1], abs=1e-4)
    assert (found.searched, found.unseen) == (len(rows), 0)
    monkeypatch.setattr(kept, "BLOCK_ROWS", 1)
    assert find_like(named, [query], "engine", k=12).ids == found.ids
    several = find_like(named, [query, ids_of(named)[9]], "engine", k=2)
    assert set(several.ids) == {query, ids_of(named)[9]}


def test_a_view_is_searched_as_it_is_shown(named: fo.Dataset) -> None:
    query = named.last().engine.detections[0].id
    first = named.limit(1)
    assert set(find_like(first, [query], "engine").ids) <= set(first.values("engine.detections.id", unwind=True))
    name = named.last().engine.detections[0].label
    patches = named.to_patches("engine").match(fo.ViewField("engine.label") == name)
    assert sorted(find_like(patches, [query], "engine", k=500).ids) == sorted(patches.values("id"))


def test_the_view_shows_the_patches_in_order(named: fo.Dataset) -> None:
    found = find_like(named, text="tree", label_field="engine", k=7)
    assert found.view().values("id") == list(found.ids)
    assert str(found).startswith('7 masks like "tree", nearest first (similarity ')


def test_words_find_what_they_name(named: fo.Dataset) -> None:
    truth = dict(zip(ids_of(named), named.values("regions.detections.label", unwind=True), strict=True))
    things = [name for name in ("person", "dog", "car", "tree", "house") if name in truth.values()]
    assert things
    for name in things:
        assert truth[find_like(named, text=name, label_field="engine", k=1).ids[0]] == name


def test_masks_with_the_same_wrong_name_are_offered_if_they_are_more_like_it(dataset: fo.Dataset) -> None:
    rows = {identity: vector.astype(np.float64) for identity, vector in rows_of(dataset).items()}
    names = dataset.values("engine.detections.class_name", unwind=True)
    wrong = max(set(filter(None, names)), key=names.count)
    ids = [identity for identity, name in zip(ids_of(dataset), names, strict=True) if name == wrong]
    corrected, accepted = ids[0], ids[1]
    relabel(dataset, "engine", ids=[corrected], label="right")
    review(dataset, "accept", "engine", ids=[accepted])
    expected = set()
    for mask in ids[2:]:
        others = sorted(rows[mask] @ rows[other] for other in ids[1:] if other != mask)[-3:]
        if rows[mask] @ rows[corrected] >= np.mean(others):
            expected.add(mask)
    assert expected
    found = find_like(dataset, [corrected], "engine", same_wrong_name=True, k=500)
    assert set(found.ids) == expected
    assert list(found.similarities) == sorted(found.similarities, reverse=True)
    assert f"among those named '{wrong}' and not reviewed" in str(found)
    assert relabel(dataset, "engine", ids=list(found.ids), label="right").masks == len(expected)
    again = find_like(dataset, [corrected], "engine", same_wrong_name=True, k=500)
    assert not set(again.ids) & expected
    relabel(dataset, "engine", ids=ids, label="right")
    assert str(find_like(dataset, [corrected], "engine", same_wrong_name=True)).startswith("no mask is like this one")


def test_a_deleted_mask_is_not_found_and_a_drawn_one_is_counted(dataset: fo.Dataset) -> None:
    sample = dataset.first()
    gone, *left = sample.engine.detections
    sample.engine.detections = [*left, fo.Detection(label="new", bounding_box=[0, 0, 0.5, 0.5])]
    sample.save()
    found = find_like(dataset, [left[0].id], "engine", k=500)
    assert gone.id not in found.ids
    assert found.unseen == 1
    assert str(found).endswith("1 mask without an embedding")
    with pytest.raises(InputError, match="these masks have no embedding"):
        find_like(dataset, [dataset.first().engine.detections[-1].id], "engine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass ids of masks or a text"),
        ({"ids": ["a"], "text": "dog"}, "pass ids of masks or a text"),
        ({"ids": []}, "ids must be a list of ids"),
        ({"ids": "abc"}, "ids must be a list of ids"),
        ({"ids": ["abc"]}, "24 hex digits"),
        ({"ids": ["0" * 24]}, "has no mask 0000"),
        ({"text": "  "}, "text must say what to look for"),
        ({"text": 3}, "text must say what to look for"),
        ({"text": "dog", "k": 0}, "k must be a whole number from 1 to"),
        ({"text": "dog", "k": True}, "k must be a whole number from 1 to"),
        ({"text": "dog", "same_wrong_name": True}, "words have no wrong name"),
        ({"text": "dog", "label_field": "sky"}, "label_field must be a Detections field"),
        ({"text": "dog", "label_field": "regions"}, "keep_embeddings=True"),
    ],
)
def test_bad_arguments_are_told(named: fo.Dataset, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_like(named, **{"label_field": "engine", **arguments})


def test_only_the_engine_keeps_them(dataset: fo.Dataset) -> None:
    with pytest.raises(InputError, match="keep_embeddings needs an engine preset"):
        annotate(dataset, "mini-ssa", label_field="other", keep_embeddings=True)
    with pytest.raises(InputError, match="needs an engine preset"):
        embed(dataset, "regions", "mini-ssa")
    with pytest.raises(InputError, match="keep_embeddings must be True or False"):
        run(dataset, label_field="other", keep_embeddings="yes")


def test_the_apps_own_sort_by_similarity(named: fo.Dataset) -> None:
    named.reload()
    key, query = brain.index_key("engine"), ids_of(named)[5]
    expected = find_like(named, [query], "engine", k=6)
    patches = named.to_patches("engine")
    assert patches.sort_by_similarity(query, k=6, brain_key=key).values("id") == list(expected.ids)
    words = find_like(named, text="tree", label_field="engine", k=3)
    assert patches.sort_by_similarity("tree", k=3, brain_key=key).values("id") == list(words.ids)
    images = named.sort_by_similarity(query, k=6, brain_key=key)
    assert images.values("id") == list(dict.fromkeys(expected.sample_ids))
    assert sorted(images.values("engine.detections.id", unwind=True)) == sorted(expected.ids)
    index = named.load_brain_results(key)
    assert index.total_index_size == len(ids_of(named))
    farthest = patches.sort_by_similarity(query, k=1, reverse=True, brain_key=key).values("id")[0]
    assert farthest == find_like(named, [query], "engine", k=500).ids[-1]


def test_the_plot_has_a_place_for_every_mask(named: fo.Dataset) -> None:
    plot = named.load_brain_results(brain.plot_key("engine"))
    assert sorted(plot.label_ids) == sorted(ids_of(named))
    rows = rows_of(named)
    vectors = np.array([rows[identity] for identity in plot.label_ids], np.float64)
    _, _, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    plain = (vectors - vectors.mean(axis=0)) @ axes[:2].T
    np.testing.assert_allclose(np.abs(plot.points), np.abs(plain), atol=1e-3)


def test_vectors_of_another_model_are_not_compared(dataset: fo.Dataset) -> None:
    sample = dataset.first()
    token = embeddings.token_of(sample.engine.embeddings_path)
    other = sample.engine.embeddings_path.replace(token, "0" * 12)
    shutil.copy(sample.engine.embeddings_path, other)
    sample.engine.embeddings_path = other
    sample.save()
    found = find_like(dataset, text="tree", label_field="engine", k=500)
    assert not set(found.ids) & {detection.id for detection in sample.engine.detections}
    assert found.unseen == len(sample.engine.detections)
    assert ObjectId(found.ids[0])


def test_files_go_where_the_fields_last_run_put_its_own(dataset: fo.Dataset, tmp_path: Path) -> None:
    run(dataset, label_field="plain", semantic_dir=tmp_path)
    embed(dataset, "plain", "mini-engine")
    assert {Path(path).parent for path in dataset.values(f"plain.{embeddings.PATH}")} == {tmp_path / "plain_embeddings"}
