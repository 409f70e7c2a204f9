"""The command line: what it prints, what it writes, how it ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco

import fiftyone_ssa.folders.annotate
from fiftyone_ssa import __version__
from fiftyone_ssa.cli import main
from fiftyone_ssa.presets import preset_names


def _segformer(parity: Path, name: str) -> list[str]:
    return ["--preset", "ssa-ade20k", "--set", "masks.source=existing", "-s", f"semantic.model={parity}/models/{name}"]


@pytest.mark.parametrize("dataset", ["ade20k", "cityscapes"])
def test_annotate_equals_the_published_answer(
    parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str
) -> None:
    options = [*_segformer(parity, f"segformer-{dataset}"), "--device", "cpu", "--dtype", "float32"]
    assert main(["annotate", str(parity / "inputs"), str(tmp_path / "out"), *options]) == 0
    assert capsys.readouterr().out.startswith("3 images, ")
    for published in (parity / f"expected/ssa-{dataset}").iterdir():
        theirs = json.loads(published.read_text())
        ours = json.loads((tmp_path / "out" / published.name).read_text())
        for mine, their in zip(ours["annotations"], theirs["annotations"], strict=True):
            assert mine["class_proposals"] == [their["class_proposals"]]
            assert {key: mine[key] for key in their if key != "class_proposals"} == {
                key: value for key, value in their.items() if key != "class_proposals"
            }
        assert ours["semantic_mask"].keys() == theirs["semantic_mask"].keys()
        for class_id, code in theirs["semantic_mask"].items():
            np.testing.assert_array_equal(coco.decode(ours["semantic_mask"][class_id]), coco.decode(code))


def test_evaluate_prints_a_table_and_writes_fractions(
    parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, truth, scores = parity / "expected/ssa-ade20k", parity / "gt/ade20k", tmp_path / "scores.json"
    assert main(["evaluate", str(results), str(truth), "--dataset", "ade20k", "--json", str(scores)]) == 0
    assert "3 images: mIoU    5.77" in capsys.readouterr().out
    ours, expected = (
        json.loads(scores.read_text()),
        json.loads((parity / "expected/evaluation-ade20k.json").read_text()),
    )
    for key in ("aAcc", "mIoU", "mAcc"):
        assert ours[key] == pytest.approx(expected[key], abs=1e-6)


def test_one_bad_image_makes_the_command_fail_and_names_it(
    parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "broken.png").write_bytes(b"\x89PNG but no more")
    (data / "broken.json").write_text('{"annotations": []}')
    PIL.Image.new("RGB", (8, 8)).save(data / "fine.png")
    (data / "fine.json").write_text('{"annotations": []}')
    assert main(["annotate", str(data), str(tmp_path / "out"), *_segformer(parity, "segformer-ade20k")]) == 1
    printed = capsys.readouterr()
    assert "1 image, 0 masks" in printed.out
    assert "1 FAILED" in printed.out
    assert f"FAILED broken.png: {data}/broken.png" in printed.err
    assert (tmp_path / "out/fine_semantic.json").is_file()


def test_unusual_images_are_named_like_any_other(parity: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    gray = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    pictures = {
        "line.png": PIL.Image.new("RGB", (700, 1), "red"),
        "column.png": PIL.Image.new("RGB", (1, 90), "red"),
        "three high.png": PIL.Image.new("RGB", (40, 3), "red"),
        "gray.png": PIL.Image.fromarray(gray),
        "alpha.png": PIL.Image.fromarray(gray).convert("RGBA"),
        "deep.png": PIL.Image.fromarray(gray.astype(np.uint16) * 257),
    }
    for name, picture in pictures.items():
        picture.save(data / name)
        size = [picture.height, picture.width]
        whole = {"segmentation": {"size": size, "counts": [0, size[0] * size[1]]}}
        dots = [{"segmentation": {"size": size, "counts": [i, 1, size[0] * size[1] - i - 1]}} for i in range(2000)]
        annotations = [whole, *(dots if name == "gray.png" else [])]
        (data / name).with_suffix(".json").write_text(json.dumps({"annotations": annotations}))
    options = [*_segformer(parity, "segformer-ade20k"), "--device", "cpu", "--save-images"]
    assert main(["annotate", str(data), str(tmp_path / "out"), *options]) == 0
    counts = {}
    for name in pictures:
        record = json.loads((tmp_path / "out" / name.replace(".png", "_semantic.json")).read_text())
        assert all(row["class_name"] for row in record["annotations"])
        assert (tmp_path / "out" / name.replace(".png", "_overlay.jpg")).is_file()
        counts[name] = len(record["annotations"])
    assert counts.pop("gray.png") == 2001
    assert set(counts.values()) == {1}
    gray_answer, deep_answer = (
        json.loads((tmp_path / f"out/{name}_semantic.json").read_text()) for name in ("alpha", "deep")
    )
    assert gray_answer["semantic_mask"] == deep_answer["semantic_mask"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["annotate", "nowhere", "out", "--preset", "ssa-ade20k"], "nowhere does not exist"),
        (["annotate", ".", "out", "--preset", "ssa-ade20k"], "no image in .: looked for *.jpg"),
        (["annotate", ".", "out", "--preset", "ssa-ade"], "did you mean 'ssa-ade20k'?"),
        (["annotate", ".", "out", "--preset", "none.toml"], "none.toml does not exist"),
        (
            ["annotate", ".", "out", "--preset", "ssa-ade20k", "--set", "semantic.vot=soft"],
            "unknown key semantic.vot (did you mean 'vote'?)",
        ),
        (["annotate", ".", "out", "--preset", "ssa-ade20k", "--set", "semantic.vote"], "section.key=value"),
        (["evaluate", "nowhere", ".", "--dataset", "ade20k"], "nowhere"),
        (["evaluate", "", ".", "--dataset", "ade20k"], "results_dir must be a path, got ''"),
        (["evaluate", ".", "", "--dataset", "ade20k"], "must be a path, got ''"),
        (["evaluate", ".", ".", "--dataset", "ade20k"], "looked for"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("fiftyone-ssa: ")
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_model_folder_that_is_not_one(parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*_segformer(parity, "../inputs"), "--device", "cpu"]
    assert main(["annotate", str(parity / "inputs"), str(tmp_path / "out"), *options]) == 2
    assert "is not a model folder, it holds no config.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there(parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*_segformer(parity, "segformer-ade20k"), "--device", "cuda:99"]
    assert main(["annotate", str(parity / "inputs"), str(tmp_path / "out"), *options]) == 2
    assert "cuda:99 is not there" in capsys.readouterr().err


def test_a_command_that_needs_fiftyone_says_so_where_it_is_absent() -> None:
    commands = [["clean", "x"], ["repaint", "x"], ["quickstart"], ["install-plugin"]]
    script = (
        "import sys; sys.modules['fiftyone'] = None\nfrom fiftyone_ssa.cli import main\n"
        f"print([main(command) for command in {commands}])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    sentence = "fiftyone-ssa: this command needs FiftyOne, which is not installed: pip install fiftyone"
    assert run.stderr.splitlines() == [sentence] * 4
    assert run.stdout == "[2, 2, 2, 2]\n"


@pytest.mark.parametrize(
    "arguments", [[], ["annotate"], ["annotate", "a", "b"], ["annotate", "a", "b", "--limit", "0"]]
)
def test_wrong_usage_is_exit_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: fiftyone-ssa" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fiftyone_ssa.folders.annotate, "annotate_files", interrupt)
    assert main(["annotate", "a", "b", "--preset", "ssa-ade20k"]) == 130
    assert "what is finished is kept" in capsys.readouterr().err


OWN = """
import time
class Own:
    classes = ["sky", "a\x1b[31mred"]
    def __call__(self, images):
        time.sleep(SECONDS * len(images))
        return [image[..., 0].astype(int) % 2 for image in images]
def build(): return Own()
"""


def _folder(root: Path, count: int = 3, seconds: float = 0.0) -> list[str]:
    """A folder of pictures with their masks, a segmenter, and the arguments that annotate it from `root`."""
    (root / "data").mkdir(parents=True)
    (root / "own.py").write_text(OWN.replace("SECONDS", str(seconds)))
    for number in range(count):
        PIL.Image.new("RGB", (8, 4), (number, 9, 9)).save(root / f"data/{number}.png")
        whole = {"segmentation": {"size": [4, 8], "counts": [0, 32]}}
        (root / f"data/{number}.json").write_text(json.dumps({"annotations": [whole]}))
    own = ["--set", "masks.source=existing", "--set", "semantic.model=own:build", "--device", "cpu"]
    return ["annotate", "data", "out", "--preset", "ssa-ade20k", "--batch-size", "1", *own]


def _started(root: Path, arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fiftyone_ssa.cli", *arguments]
    known = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **known, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_run_as_ctrl_c_does(tmp_path: Path, number: int) -> None:
    arguments = _folder(tmp_path, count=60, seconds=0.2)
    process = _started(tmp_path, arguments)
    while process.poll() is None and len(list((tmp_path / "out").glob("*_semantic.json"))) < 2:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("fiftyone-ssa: interrupted; what is finished is kept")
    left = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.endswith("_semantic.json"))
    assert left == [".fiftyone-ssa.json"]


def test_a_second_run_is_told_who_writes_and_another_folder_is_free(tmp_path: Path) -> None:
    arguments = _folder(tmp_path, count=60, seconds=0.2)
    first = _started(tmp_path, arguments)
    while first.poll() is None and not list((tmp_path / "out").glob("*_semantic.json")):
        time.sleep(0.02)
    second = _started(tmp_path, arguments)
    other = _started(tmp_path, ["annotate", "data", "other", "--limit", "1", *arguments[3:], "--save-branch", "out"])
    for refused in (second, other):
        _, said = refused.communicate(timeout=60)
        assert refused.returncode == 2
        assert f"another run (process {first.pid} on " in said
        assert said.count("\n") == 1
    assert not (tmp_path / "other").exists()
    first.kill()
    first.communicate()
    third = _started(tmp_path, ["annotate", "data", "out", *arguments[3:], "--limit", "2"])
    assert third.wait(timeout=60) == 0  # the lock of a killed run is free
    third.communicate()


@pytest.mark.parametrize("path", ["", ":/nowhere", "/nowhere:"])
def test_the_working_folder_stands_in_for_no_library(tmp_path: Path, path: str) -> None:
    arguments = _folder(tmp_path)
    for name in ("tqdm", "colorsys", "json", "numpy", "PIL", "torch", "huggingface_hub", "logging", "argparse"):
        (tmp_path / f"{name}.py").write_text("open('it-ran', 'w')\nraise SystemExit(7)\n")
    root = str(Path(__file__).parents[1])
    tool = [sys.executable, "-c", "import sys; sys.path.pop(0)\nfrom fiftyone_ssa.cli import main; sys.exit(main())"]
    command = [sys.executable, "-m", "fiftyone_ssa.cli"] if not path else tool
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
    ended = subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "it-ran").exists()
    assert ended.stdout.startswith(f"this preset runs code of its own: {tmp_path}/own.py\n3 images")


def test_a_working_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["annotate", "a", "b", "--preset", "mini-ssa"]) == 2
    assert "the working folder is gone" in capsys.readouterr().err


def test_no_name_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = _folder(tmp_path)
    evil = "x\x1b[2J\nFAILED y\r\u202egpj"
    (tmp_path / f"data/{evil}.jpg").write_bytes(b"broken")
    (tmp_path / f"data/{evil}.json").write_text("{}")
    (tmp_path / f"data/{evil}").mkdir()
    (tmp_path / f"data/{evil}/a.png").write_bytes(b"broken, and without masks, so its folder is left out")
    process = _started(tmp_path, arguments)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "\x1b" not in out + said
    assert "\u202e" not in out + said
    lines = [line for line in said.splitlines() if "FAILED" in line]
    assert len(lines) == 2  # one for the picture, one warning of the folder
    assert r"x\x1b[2J\nFAILED y\r\u202egpj.jpg" in said
    for wrong in (["evaluate", evil, "gt", "--dataset", "ade20k"], ["annotate", evil, evil, "--preset", evil]):
        assert main(wrong) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "\x1b" not in printed
    with pytest.raises(SystemExit):
        main(["annotate", "a", "b", evil])
    assert "\x1b" not in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    code = "import sys; from fiftyone_ssa.cli import main; sys.exit(main(['presets']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait()
    assert process.stderr.read() == b""
    process.stderr.close()


def test_presets_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[0]: line for line in lines[1:] if line[0] != " "}
    assert list(listed) == preset_names()
    assert max(map(len, lines)) <= 120
    assert " 726 M " in listed["ssa-ade20k"]
    assert " yes " in listed["mini-ssa"]
    assert "ADE20K" in listed["ssa-ade20k"]
    what = dict(itertools.pairwise(lines))[listed["ssa-ade20k-b0"]]
    assert what.split() == [
        *("masks:", "facebook/sam-vit-huge;", "segmenter:", "nvidia/segformer-b0-finetuned-ade-512-512"),
    ]


def test_a_name_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    name = "ü\udcff.jpg"
    (tmp_path / name).write_bytes(b"broken")
    (tmp_path / "own.py").write_text(
        "from types import SimpleNamespace\n"
        "class Own:\n    classes = ('a',)\n    def __call__(self, images): return []\n"
        "def build(): return Own()\n"
    )
    command = [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", ".", "out", "--preset", "ssa-ade20k"]
    settings = ["--set", "masks.source=existing", "--set", "semantic.model=own:build"]
    (tmp_path / "ü\udcff.json").write_text('{"annotations": []}')
    ended = subprocess.run(
        [*command, *settings],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert r"FAILED \xfc\udcff.jpg:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"fiftyone-ssa {__version__}\n"


@pytest.mark.parametrize("command", [[], ["plugin"]])
def test_without_a_command_one_is_told_which_there_are(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") > 5
    assert said.endswith("name a command\n")
