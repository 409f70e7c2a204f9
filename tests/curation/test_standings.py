"""Every evaluation side by side: ours, in the order in which they were stored, and read anew when stored anew."""

import fiftyone as fo
import numpy as np

from fiftyone_ssa.curation.standings import standings
from fiftyone_ssa.labels.evaluation import evaluate


def test_standings_are_what_was_stored():
    dataset = fo.Dataset()
    truth = np.array([[1, 1], [2, 2]], np.uint8)
    fields = {"truth": truth, "a": truth, "b": np.array([[1, 1], [1, 2]], np.uint8)}
    dataset.add_sample(
        fo.Sample(filepath="/a.png", **{name: fo.Segmentation(mask=mask) for name, mask in fields.items()})
    )
    dataset.mask_targets = {name: {1: "sky", 2: "sea"} for name in fields}
    assert standings(dataset) == []
    stored = {key: evaluate(dataset, key[-1], "truth", eval_key=key, progress=False).scores for key in ("of_b", "of_a")}
    dataset.evaluate_segmentations("a", "truth", eval_key="stock")
    found = standings(dataset.limit(1))
    assert [(row.eval_key, row.pred_field, row.gt_field) for row in found] == [
        ("of_b", "b", "truth"),
        ("of_a", "a", "truth"),
    ]
    for row in found:
        assert row.scores.names == stored[row.eval_key].names
        np.testing.assert_array_equal(row.scores.iou, stored[row.eval_key].iou)
    again = evaluate(dataset, "b", "truth", eval_key="of_b", mask_targets={1: "sea", 2: "sky"}, progress=False)
    assert {row.eval_key: row.scores.names for row in standings(dataset)}["of_b"] == again.scores.names
    dataset.delete()
