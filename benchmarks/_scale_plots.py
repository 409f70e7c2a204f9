"""The simulated cluster as pictures: images a second, where GPU time goes, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._cluster import Cluster
from benchmarks.scale import figures, known, scenarios

GPUS = [8, 16, 32, 64, 128, 256, 512, 1024]
STORE = 2e9
COLOURS = {"ssa-ade20k": "#3b6fb6", "engine-base": "#c2572b", "engine-base with SAM": "#4a8f4a"}
PARTS = {
    "labelling": ("labelling", "#3b6fb6"),
    "slower": ("slower GPUs", "#9db7d9"),
    "waiting": ("waiting for the store", "#c2572b"),
    "twice": ("done twice", "#8a4f9e"),
    "starting": ("starting", "#d9b13b"),
    "idle": ("idle at the end", "#b5b5b5"),
}


def draw(folder: Path, price: float) -> Iterator[Path]:
    """Write the pictures; the same bytes for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "scale", "svg.fonttype": "none", "font.size": 9, "axes.grid": True}
    mpl.rcParams |= {"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False}
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("throughput", _throughput()), ("time", _time()), ("cost", _cost(price))):
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None}, facecolor="white", bbox_inches="tight")
        yield path


def _throughput() -> Any:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 3.8))
    axes = figure.subplots()
    for name, stages in known().items():
        usual = [figures(stages, Cluster(gpus), 0)["images_per_second"] for gpus in GPUS]
        slow = [figures(stages, Cluster(gpus, store_bytes_s=STORE), 0)["images_per_second"] for gpus in GPUS]
        axes.plot(GPUS, usual, "o-", color=COLOURS[name], label=name, markersize=4)
        axes.plot(GPUS, slow, ":", color=COLOURS[name])
        axes.plot(GPUS, [gpus / stages.gpu_s for gpus in GPUS], "--", color=COLOURS[name], alpha=0.4, linewidth=1)
    axes.plot([], [], "k:", label="a store of 2 GB/s, not 10")
    axes.plot([], [], "k--", alpha=0.4, label="every GPU always at its measured speed")
    axes.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="images a second")
    axes.set_xticks(GPUS, map(str, GPUS))
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure


def _time() -> Any:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.2))
    axes = figure.subplots()
    rows, left = [], []
    for gpus in (8, 64, 512):
        for about, (cluster, cut) in scenarios(gpus).items():
            if "store" in about:
                continue
            rows.append(f"{gpus} GPUs, {about}")
            left.append(figures(known()["engine-base"], cluster, 0, cut)["share_of_gpu_time"])
    begin = [0.0] * len(rows)
    for part, (label, colour) in PARTS.items():
        widths = [100 * max(each[part], 0) for each in left]
        axes.barh(rows, widths, left=begin, color=colour, label=label)
        begin = [a + b for a, b in zip(begin, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="% of GPU time, engine-base", xlim=(0, 100))
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.35, 1.18))
    return figure


def _cost(price: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 3.8))
    axes = figure.subplots()
    for name, stages in known().items():
        for cut, line in ((1, "o-"), (10, "o:")):
            found = [figures(stages, Cluster(gpus), price, cut) for gpus in GPUS[::2]]
            hours, cost = ([each[key] for each in found] for key in ("hours", "cost"))
            axes.plot(hours, cost, line, color=COLOURS[name], label=name if cut == 1 else None, markersize=4)
        for gpus, hour, money in zip(GPUS[::2], hours, cost, strict=True):
            axes.annotate(str(gpus), (hour, money), fontsize=7, xytext=(3, -9), textcoords="offset points")
    axes.plot([], [], "k:", label="ten shards a tar")
    axes.set(xscale="log", yscale="log", xlabel="hours", ylabel=f"cost, at {price:g} a GPU hour")
    axes.legend(fontsize=8)
    return figure
