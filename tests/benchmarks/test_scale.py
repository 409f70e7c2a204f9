"""The simulated cluster against what can be calculated, a plain simulation in small steps, and a real run."""

import json

import numpy as np
import pytest

from benchmarks import scale
from benchmarks._cluster import Cluster, Stages, _shares, simulate

PLAIN = {"start_s": 10, "slowest": 1, "stragglers": 0, "failures_per_gpu_hour": 0, "commit_s": 0}


def plain(gpus, **more):
    return Cluster(gpus, **(PLAIN | more))


@pytest.mark.parametrize("gpus", [1, 3, 64])
def test_equal_shards_take_whole_rounds(gpus):
    found = simulate(np.full(100, 50.0), Stages(0.5), plain(gpus, commit_s=2))
    rounds = -(-100 // gpus)
    if gpus == 64:  # of the last round 36 are committed one after the other
        assert found.seconds == pytest.approx(10 + 25 + max(25, 64 * 2) + 36 * 2)
    else:
        assert 10 + 25 * rounds + 2 <= found.seconds <= 10 + 25 * rounds + 2 * gpus


def test_what_is_slowest_decides():
    work, fast = np.full(40, 100.0), Stages(0.01, cpu_s=0.8, read_bytes=1e6)
    cores = simulate(work, fast, plain(4, cores_per_gpu=2))
    assert cores.seconds == pytest.approx(10 + 40 * 100 * 0.4 / 4)
    connection = simulate(work, fast, plain(4, cores_per_gpu=64, connection_bytes_s=1e6))
    assert connection.seconds == pytest.approx(10 + 40 * 100 / 4)
    store = simulate(work, fast, plain(4, cores_per_gpu=64, store_bytes_s=2e6))
    assert store.seconds == pytest.approx(10 + 40 * 100 * 1e6 / 2e6)
    assert store.spent["waiting"] == pytest.approx(4 * 2000 - 4000 * 0.01)


def test_shards_that_are_lost_begin_anew():
    """One GPU, one shard of t seconds: on average (1 / rate + down) (e^(rate t) - 1) seconds."""
    rate, took, down = 1 / 100, 120.0, 30
    cluster = plain(1, start_s=10, restart_s=20, failures_per_gpu_hour=rate * 3600)
    runs = [simulate(np.array([took]), Stages(1.0), cluster, seed) for seed in range(2000)]
    expected = (1 / rate + down) * np.expm1(rate * took)
    seconds = np.array([run.seconds - 10 for run in runs])
    assert seconds.mean() == pytest.approx(expected, abs=4 * seconds.std() / len(seconds) ** 0.5)
    assert np.mean([run.failures for run in runs]) == pytest.approx(np.expm1(rate * took), rel=0.1)


@pytest.mark.parametrize("seed", range(12))
def test_all_gpu_time_is_accounted_for_and_no_order_beats_the_bounds(seed):
    rng = np.random.default_rng(seed)
    work = rng.uniform(10, 200, 60)
    stages = Stages(rng.uniform(0.1, 1), rng.uniform(0, 2), rng.uniform(0, 2e6))
    cluster = Cluster(
        int(rng.integers(1, 20)),
        failures_per_gpu_hour=rng.choice([0.0, 5.0]),
        restart_s=rng.uniform(0, 100),
        store_bytes_s=rng.uniform(1e6, 2e7),
        stragglers=0.2,
    )
    found = simulate(work, stages, cluster, seed)
    assert sum(found.spent.values()) == pytest.approx(found.seconds * cluster.gpus)
    assert min(found.spent.values()) > -1e-6 * found.seconds
    assert found.spent["labelling"] == pytest.approx(work.sum() * stages.gpu_s)
    assert found.seconds >= cluster.start_s + work.sum() * stages.gpu_s / cluster.gpus
    assert found.seconds >= work.sum() * stages.read_bytes / cluster.store_bytes_s
    if not cluster.failures_per_gpu_hour:
        steady = simulate(work, Stages(stages.gpu_s), plain(cluster.gpus))  # Graham's bound of any order
        longest = work.max() * stages.gpu_s
        assert steady.seconds <= 10 + work.sum() * stages.gpu_s / cluster.gpus + longest
    assert simulate(work, stages, cluster, seed) == found


def plain_shares(wanted, limit):
    """Every open hand gets the same, until it has what it wants."""
    given, open_ = [0.0] * len(wanted), [i for i, each in enumerate(wanted) if each > 0]
    while open_ and limit > 1e-9:
        least = min(min(wanted[i] - given[i] for i in open_), limit / len(open_))
        for i in open_:
            given[i] += least
        limit -= least * len(open_)
        open_ = [i for i in open_ if wanted[i] - given[i] > 1e-12]
    return given


def test_events_are_what_small_steps_give():
    work, stages, limit = np.array([30.0, 70, 50, 20, 90, 40]), Stages(0.1, read_bytes=1.0), 17.0
    found = simulate(work, stages, plain(3, slowest=1.5, store_bytes_s=limit), 4)
    own = np.random.default_rng(4).permutation(np.linspace(1, 1.5, 3)) * 0.1
    left, queue, now, step = np.zeros(3), list(work), 10.0, 0.005
    while queue or (left > 0).any():
        for gpu in (2, 1, 0):  # the last that is ready begins first
            if left[gpu] <= 0 and queue:
                left[gpu] = queue.pop(0)
        wanted = [1 / own[gpu] if left[gpu] > 0 else 0.0 for gpu in range(3)]
        left -= np.array(plain_shares(wanted, limit)) * step
        now += step
    assert found.seconds == pytest.approx(now, abs=0.1)


def test_shares_are_fair():
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted, limit = rng.uniform(0, 1, 9), rng.uniform(0.1, 5)
        given = _shares(wanted, limit)
        assert given.sum() == pytest.approx(min(limit, wanted.sum()))
        assert given == pytest.approx(plain_shares(wanted, limit))


def test_the_figures_have_sources_and_the_work_is_all_of_it():
    content = json.loads(scale.FIGURES.read_text())
    named = {*Stages.__dataclass_fields__, *Cluster.__dataclass_fields__} - {"about", "gpus", "cores_per_gpu"}
    assert named <= set(content["sources"])
    assert {text.split(":")[0] for text in content["sources"].values()} == {"measured", "assumed", "published"}
    for cut in (1, 10):
        assert scale.shards(cut).sum() == pytest.approx(scale.TARS * scale.IMAGES)
    found = scale.figures(scale.known()["engine-base"], Cluster(64), 2.0)
    assert found["cost"] == pytest.approx(2 * found["gpu_hours"], abs=1)
    assert sum(found["share_of_gpu_time"].values()) == pytest.approx(1, abs=1e-3)


def test_a_real_run_is_replayed(tmp_path):
    taken = [3.0, 1.0, 2.0, 2.5, 0.5]  # of two workers that begin at 4: 3, 1 + 2 + .5, then 2.5
    begins = [4.0, 4.0, 5.0, 7.0, 7.0]
    with (tmp_path / "manifest.jsonl").open("w") as file:
        for number, seconds in enumerate(taken):
            file.write(json.dumps({"shard": f"s{number}", "seconds": seconds}) + "\n")
    ends = sorted((begin + took, number) for number, (begin, took) in enumerate(zip(begins, taken, strict=True)))
    lines = [json.dumps({"shard": f"s{number}", "seconds": end}) for end, number in ends]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines) + "\n")
    found = scale.replay(tmp_path, 2)
    assert (found["took_s"], found["simulated_s"]) == (9.5, 9.5)
