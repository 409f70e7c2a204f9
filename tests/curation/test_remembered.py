"""A count is made once for a view as it stands, and again as soon as something was written."""

import fiftyone as fo
from fiftyone import ViewField as F

from fiftyone_ssa.curation import remembered as memory
from fiftyone_ssa.curation.remembered import remembered


def test_a_count_is_made_again_when_the_view_or_what_it_shows_is_another():
    asked = []

    def labels(samples, field):
        asked.append(field)
        return samples.values(f"{field}.detections.label", unwind=True)

    dataset = fo.Dataset()
    masks = [fo.Detection(label=name, bounding_box=[0, 0, 1, 1]) for name in ("sky", "sea")]
    dataset.add_sample(fo.Sample(filepath="/a.png", ssa=fo.Detections(detections=masks)))
    for _ in range(2):
        assert remembered(labels, dataset, "ssa") == ["sky", "sea"]
        for name in ("sky", "sea"):
            assert remembered(labels, dataset.filter_labels("ssa", F("label") == name), "ssa") == [name]
    assert len(asked) == 3
    dataset.set_values("ssa.detections.label", [["sky", "wall"]])
    assert remembered(labels, dataset, "ssa") == ["sky", "wall"]
    dataset.add_sample(fo.Sample(filepath="/b.png", ssa=fo.Detections(detections=[masks[0].copy()])))
    assert remembered(labels, dataset, "ssa") == ["sky", "wall", "sky"]
    dataset.delete_samples(dataset.first())
    assert remembered(labels, dataset, "ssa") == ["sky"]
    assert len(asked) == 6
    dataset.delete()


def test_what_was_asked_for_long_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 2)
    dataset, asked = fo.Dataset(), []
    dataset.add_sample(fo.Sample(filepath="/a.png"))
    for number in (1, 2, 1, 3, 1, 2):
        remembered(lambda _, value, asked=asked: asked.append(value), dataset, number)
    assert len(memory._answers) == 2
    dataset.delete()
