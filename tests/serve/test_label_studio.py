"""Label Studio's ML-backend protocol: tasks in, regions out, and pictures from nowhere but where they may be."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import brush_rle, rle
from fiftyone_ssa.serve.label_studio import read_config
from fiftyone_ssa.serve.settings import LabelStudio, ServeSettings
from fiftyone_ssa.serve.task_pictures import read_task_picture

from .conftest import CONFIG, predict, task

PERSONAL = "head.claims.signature"


def test_brush_regions_are_the_masks_bit_for_bit(client, pictures):
    (result,) = predict(client, "BrushLabels", task(pictures[0]))
    answer = client.post("/label", files={"image": pictures[0]}).json()["annotations"]
    wanted = {"sky": "Sky", "grass": "Meadow"}
    codes = [
        (wanted[row["class_name"]], row["segmentation"]["counts"]) for row in answer if row["class_name"] in wanted
    ]
    found = [
        (region["value"]["brushlabels"][0], brush_rle.decode(region["value"]["rle"], (120, 160)).decode())
        for region in result["result"]
    ]
    assert found == codes != []
    region = result["result"][0]
    assert (region["original_width"], region["original_height"], region["from_name"]) == (160, 120, "tag")
    assert 0 < region["score"] <= 1
    assert "sky" in region["meta"]["text"][0] or "grass" in region["meta"]["text"][0]


def test_polygons_and_rectangles_lie_on_the_masks(client, pictures):
    answer = client.post("/label", files={"image": pictures[0]}).json()["annotations"]
    boxes = [row for row in answer if row["class_name"] in ("sky", "grass")]
    (rectangles,) = predict(client, "RectangleLabels", task(pictures[0]))
    for region, row in zip(rectangles["result"], boxes, strict=True):
        mask = rle.decode(row["segmentation"]["counts"].encode(), (120, 160))
        ys, xs = np.nonzero(mask)
        value = region["value"]
        assert [value["x"] * 1.6, value["y"] * 1.2] == pytest.approx([xs.min(), ys.min()])
        assert value["width"] * 1.6 == pytest.approx(np.ptp(xs) + 1)
    (polygons,) = predict(client, "PolygonLabels", task(pictures[0]))
    points = np.concatenate([region["value"]["points"] for region in polygons["result"]])
    assert points.min() >= 0
    assert points.max() <= 100


def test_setup_remembers_a_project_and_a_bad_task_costs_itself_only(client, pictures):
    setup = client.post("/setup", json={"project": "7.1", "schema": CONFIG.format(tag="BrushLabels")})
    version = client.get("/versions").json()["versions"][0]
    assert setup.json() == {"model_version": version}
    odd = [{"data": {"photo": address}} for address in ("http://10.0.0.1/secret.jpg", "http://[/secret.jpg")]
    tasks = [{"data": {}}, task(b"text"), task(pictures[1]), *odd, "x"]
    results = client.post("/predict", json={"tasks": tasks, "project": "7.1"}).json()["results"]
    assert [bool(result["result"]) for result in results] == [False, False, True, False, False, False]
    assert all(len(result["error"]) > 20 for result in results if not result["result"])
    assert client.get("/health").json()["status"] == "UP"
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200
    assert client.post("/predict", json={"tasks": tasks, "project": "8"}).status_code == 422
    for wrong in ([], "x", None, [{}] * 65):
        assert client.post("/predict", json={"tasks": wrong}).status_code == 422
    assert client.post("/predict", content=b"{", headers={"content-type": "application/json"}).status_code == 422


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "<View",
        "<View><Image name='image' value='$photo'/></View>",
        "<View><BrushLabels name='a' toName='image'/></View>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><View/>",
        "<View>" + " " * 300_000,
    ],
)
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(InputError, match="configuration"):
        read_config(text)


@pytest.fixture
def label_studio(tmp_path, pictures):
    """A server that has one picture and sends whoever asks for another one elsewhere; its address, and what it saw."""
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload/a b.jpg").write_bytes(pictures[0])
    seen = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("authorization")))
            if self.path == "/no-http":
                self.wfile.write(b"what is no answer\r\n\r\n")
            elif self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("location", "http://127.0.0.1:1/secret")
                self.end_headers()
            else:
                super().do_GET()

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path, asked))
            known = asked == {"refresh": PERSONAL}
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(b'{"access": "a.b.c"}' if known else b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_pictures_are_fetched_from_label_studio_and_nowhere_else(label_studio, pictures):
    url, seen = label_studio
    source = LabelStudio(url, "key")
    for address in ("/upload/a%20b.jpg", f"{url}/upload/a%20b.jpg", "/upload/a b.jpg"):
        picture = read_task_picture(address, source, 100_000)
        assert (picture.data, picture.name) == (pictures[0], "a b.jpg")
    assert seen[0] == ("/upload/a%20b.jpg", "Token key")
    before = len(seen)
    for address in ("http://127.0.0.1:1/a.jpg", "//127.0.0.1:1/a.jpg", "file:///etc/passwd", "s3://b/a.jpg", "a.jpg"):
        with pytest.raises(InputError, match="only place"):
            read_task_picture(address, source, 100_000)
    assert len(seen) == before
    for address in ("/elsewhere", "/missing.jpg", "/ä.jpg", "/no-http"):
        with pytest.raises(InputError, match="cannot be fetched"):
            read_task_picture(address, source, 100_000)
    with pytest.raises(InputError, match="more than 100 bytes"):
        read_task_picture("/upload/a%20b.jpg", source, 100)
    with pytest.raises(InputError, match="fetches none"):
        read_task_picture("/upload/a%20b.jpg", LabelStudio(), 100_000)


def test_a_personal_access_token_is_changed_for_one_that_lasts_minutes(label_studio, pictures):
    url, seen = label_studio
    assert read_task_picture("/upload/a%20b.jpg", LabelStudio(url, PERSONAL), 100_000).data == pictures[0]
    assert seen == [("/api/token/refresh", {"refresh": PERSONAL}), ("/upload/a%20b.jpg", "Bearer a.b.c")]
    with pytest.raises(InputError, match=f"cannot be fetched from {url}: HTTP Error 401"):
        read_task_picture("/upload/a%20b.jpg", LabelStudio(url, "wrong.wrong.wrong"), 100_000)


def test_local_files_stay_in_their_folder(tmp_path, pictures):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/a.jpg").write_bytes(pictures[0])
    (tmp_path / "out.jpg").write_bytes(pictures[0])
    (tmp_path / "in/link.jpg").symlink_to(tmp_path / "out.jpg")
    source = LabelStudio(files=tmp_path / "in")
    assert read_task_picture("/data/local-files/?d=deep/a.jpg", source, 100_000).data == pictures[0]
    for asked in ("../out.jpg", "link.jpg", "/etc/passwd", "deep", "", "deep/../../out.jpg", "%00"):
        with pytest.raises(InputError):
            read_task_picture(f"/data/local-files/?d={asked}", source, 100_000)


def test_label_studio_must_have_an_address(tmp_path):
    for wrong in ("localhost:8080", "file:///x", "http://"):
        with pytest.raises(InputError, match="address"):
            LabelStudio(wrong)
    with pytest.raises(InputError, match="no folder"):
        LabelStudio(files=tmp_path / "missing")
    assert "key" not in repr(ServeSettings(label_studio=LabelStudio("http://a", "key")))
