"""What a GPU does with the published architectures, in one command that needs neither a network nor FiftyOne.

    python -m benchmarks.gpu [--out FILE] [--budget SECONDS] [--only SECTION ...] [--rehearse]

Weights are random. Sections, each in a process of its own with a share of the time: the machine's rates; the parity
models on the CPU and the GPU, labels compared; SSA and SSA-engine at 1, 4 and 16 images of 100 masks: seconds by
stage, memory, share of the matrix rate, launches, and who waits for the device; SAM ViT-H's everything-mode.
Lines of progress go to stderr as figures come, and FILE is written whole each time; without it stdout gets the JSON.
`--rehearse` does the same on the CPU with narrow models: its figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks._scale import GPU, REHEARSAL
from benchmarks._sections import GRACE_S, Section, run_section, say
from fiftyone_ssa.files.atomic import write_whole

BUDGET_S = 480.0
SECTIONS = (
    Section("machine", "benchmarks._gpu_machine", 1),
    Section("parity", "benchmarks._gpu_parity", 2),
    Section("ssa", "benchmarks._gpu_ssa", 2),
    Section("engine", "benchmarks._gpu_engine", 6),
    Section("sam", "benchmarks._gpu_sam", 4),
)
NO_GPU = {"skipped": "torch sees no GPU; `python -m benchmarks.gpu --rehearse` tries the same on the CPU"}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; 0 also where there is no GPU, and where sections failed, which their figures tell."""
    began = time.monotonic()
    options = _parser().parse_args(arguments)
    if not options.rehearse and not _gpu():
        print(json.dumps(NO_GPU))
        return 0
    # a stopped run ends as any other: the sections' processes with it, what is measured written
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    deadline = began + options.budget - GRACE_S
    report: dict[str, Any] = {"rehearsed": options.rehearse}
    chosen = [section for section in SECTIONS if section.name in options.only]
    with tempfile.TemporaryDirectory(prefix="benchmark-gpu-") as folder:
        scale = dataclasses.replace(REHEARSAL if options.rehearse else GPU, folder=folder)
        for index, section in enumerate(chosen):
            weights = [later.weight for later in chosen[index:]]
            seconds = max((deadline - time.monotonic()) * section.weight / sum(weights), 0.0)
            say(f"{section.name}: at most {seconds:.0f} s")
            with closing(run_section(section, scale, Path(folder), seconds, fork=options.rehearse)) as found:
                for figures in found:
                    report[section.name] = figures
                    report["seconds"] = round(time.monotonic() - began, 1)
                    if options.out:
                        write_whole(options.out, (json.dumps(report, indent=2) + "\n").encode())
    for line in summary(report):
        say(line)
    if not options.out:
        print(json.dumps(report, indent=2))
    return 0


def summary(report: dict[str, Any]) -> list[str]:
    """The figures that answer the estimates, a line each."""
    engine, sam = report.get("engine", {}), report.get("sam", {})
    lines = []
    if engine:
        lines.append("engine-base an image, estimated/measured: ms busy, ms launching, launches; ms until it was done")
        for stage, row in engine.get("estimates", {}).items():
            if isinstance(row, dict):
                pairs = [row[key] for key in ("busy_ms", "launching_ms", "launches")]
                told = ", ".join(f"{pair['estimated']}/{pair['measured']}" for pair in pairs)
                lines.append(f"  {stage:8} {told}, {row['waited_for_ms']}  ({row['what']})")
        work = engine.get("tflop an image", {})
        lines.append(f"  TFLOP an image: {work.get('estimated')}/{work.get('measured')}")
    for section in ("ssa", "engine"):
        for what, figures in report.get(section, {}).items():
            if isinstance(figures, dict) and "seconds_per_image" in figures:
                memory = figures.get("peak_gb", figures.get("peak_resident_gb"))
                shares = figures.get("share_of_matrix_rate", {})
                told = "".join(f", {share:.1%} of the {kind} rate" for kind, share in shares.items())
                lines.append(f"  {section}, {what}: {figures['seconds_per_image']} s an image, {memory} GB{told}")
    for what in ("everything", "SSA's preset"):
        figures = sam.get(what, {})
        if "masks" in figures:
            memory = figures.get("peak_gb", figures.get("peak_resident_gb"))
            lines.append(f"  SAM, {what}: {figures['seconds']} s, {figures['masks']} masks, {memory} GB")
    lines += [
        f"  {section}: {what} {how}: {figures[how]}"
        for section in report
        if isinstance(report[section], dict)
        for what, figures in report[section].items()
        if isinstance(figures, dict)
        for how in ("failed", "skipped")
        if how in figures
    ]
    lines += [f"  {name}: {of['ended']}" for name, of in report.items() if isinstance(of, dict) and "ended" in of]
    return lines


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available() and torch.cuda.device_count() > 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [section.name for section in SECTIONS]
    parser.add_argument("--out", type=Path, help="write the JSON there, after every section")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="SECONDS", help="for all sections together")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION", help=", ".join(names))
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with narrow models")
    return parser


if __name__ == "__main__":
    sys.exit(main())
