"""What a watched command is seen to do."""

from __future__ import annotations

import sys

import pytest

from benchmarks._watching import held, watched

WORKS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
with open(sys.argv[1], "w") as lines:
    for number in range(2):
        sum(range(3_000_000))
        lines.write(f'{{"done": {number}}}\\n{{"half')  # a line that is not whole does not count
        lines.flush()
        time.sleep(0.4)
        lines.seek(lines.tell() - len('{"half'))
print("ready")
child.communicate(b"\\n")
"""


def test_a_point_a_line_of_all_processes(tmp_path):
    lines = tmp_path / "lines"
    command = [sys.executable, "-c", WORKS, str(lines)]
    points, said = watched(command, lines, lambda it: {"held": held(it), "own": it.memory_full_info().uss})
    assert said == "ready\n"
    assert [point["lines"] for point in points] == [1, 2]
    assert [point["line"] for point in points] == [{"done": 0}, {"done": 1}]
    ((_, first),) = points[0]["held"].values()
    ((memory, second),) = points[1]["held"].values()
    assert memory > 1.2 * points[1]["own"]  # another interpreter
    assert second > first


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(AssertionError, match="no such thing"):
        watched([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "lines", lambda _: {})
