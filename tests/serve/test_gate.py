"""Who may ask, how often and how much: the token, the host, the sizes, the queue, and broken uploads of all kinds."""

from __future__ import annotations

import asyncio
import io
import random
import socket
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import PIL.Image
import psutil
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.serve.gate import Gate, Rates
from fiftyone_ssa.serve.labeller import Labeller
from fiftyone_ssa.serve.settings import Limits, ServeSettings, read_token

from .conftest import running, wait_for

TOKEN = "a token of some length"


def png_header(width, height):
    """A PNG that says it is large, and has nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def bomb():
    """400 million pixels in 50 KB: as RGB 1.2 GB."""
    buffer = io.BytesIO()
    PIL.Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def text_bomb():
    """A PNG of four pixels whose text is 300 MB."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (2, 2)).save(buffer, "PNG")
    data = b"Comment\0\0" + zlib.compress(bytes(300_000_000), 1)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return buffer.getvalue()[:33] + chunk + buffer.getvalue()[33:]


def broken(picture):
    """Uploads that cannot be labelled, each with the statuses that it may be answered with."""
    some = random.Random(17)
    noise = bytes(some.randrange(256) for _ in range(5_000))
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(picture)).save(buffer, "PNG")
    return [
        (b"", (422,)),
        (b"hello, this is text", (415,)),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415,)),
        (b"%PDF-1.7 ...", (415,)),
        (b"PK\x03\x04" + noise, (415,)),
        (noise, (415,)),
        (picture[: len(picture) // 2], (422,)),
        (picture[:200], (415, 422)),
        (picture[:2] + noise, (415, 422)),
        (buffer.getvalue()[:-3_000], (422,)),
        (png_header(60_000, 60_000), (413,)),
        (png_header(0, 10), (415, 422)),
        (bomb(), (413,)),
        (text_bomb(), (413, 422)),
    ]


def test_broken_uploads_are_each_refused_with_a_sentence(client, pictures):
    for data, statuses in broken(pictures[0]) * 2:
        for answer in (
            client.post("/label", files={"image": ("x.jpg", data)}),
            client.post("/label", content=data, headers={"content-type": "image/jpeg"}),
        ):
            assert answer.status_code in statuses, (data[:20], answer.text)
            sentence = answer.json()["detail"]
            assert len(sentence) > 20
            assert "Traceback" not in sentence
    assert client.post("/label", files={"image": ("x.jpg", pictures[0])}).status_code == 200
    cut = {"image": ("it is too large: x.jpg", png_header(1, 1)[:20])}
    assert client.post("/label", files=cut).status_code == 422


def test_what_is_no_form_is_refused(client):
    kinds = {"content-type": "multipart/form-data; boundary=x"}
    for answer in (
        client.post("/label", content=b"--x\r\nnonsense", headers=kinds),
        client.post("/label", content=b"nonsense", headers={"content-type": "multipart/form-data"}),
        client.post("/label", data={"image": "text"}),
        client.post("/label", json={"image": "x"}),
        client.post("/label", content=b"a&" * 5_000, headers={"content-type": "application/x-www-form-urlencoded"}),
        client.post("/label?fromat=coco", content=b"x", headers={"content-type": "image/jpeg"}),
        client.post("/label", files={"image": b"x", "vocabulary": b"sky"}),
        client.post("/label"),
        client.get("/label"),
        client.get("/nothing"),
        client.get("/static/../app.py"),
    ):
        assert 400 <= answer.status_code < 500
        assert len(answer.json()["detail"]) > 20


def test_a_hundred_megabytes_are_refused_and_not_kept(address):
    process = psutil.Process()

    def chunks():
        for _ in range(100):
            yield bytes(1_000_000)
            sizes.append(process.memory_info().rss)

    sizes = [process.memory_info().rss]
    with httpx.Client(base_url=address, timeout=300) as client:
        whole = client.post("/label", content=chunks(), headers={"content-length": "100000000"})
        unannounced = client.post("/label", content=chunks())  # chunked: its size is known when it is there
    for answer in (whole, unannounced):
        assert answer.status_code == 413
        assert "20,000,000 bytes" in answer.json()["detail"]
    assert max(sizes) - sizes[0] < 60_000_000


def test_a_size_of_thousands_of_digits_is_none():
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"9" * 5_000)]
    scope = {"type": "http", "method": "POST", "path": "/label", "headers": headers, "client": ("127.0.0.1", 1)}
    asyncio.run(Gate(None, ServeSettings(), lambda *_: None)(scope, None, send))
    assert sent[0]["status"] == 400


def test_a_request_that_is_too_slow_is_ended(ssa):
    settings = ServeSettings(port=0, limits=Limits(body_seconds=0.2))
    with running(ssa, settings) as address, socket.create_connection(("127.0.0.1", int(address[-5:]))) as slow:
        slow.sendall(b"POST /label HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\nabc")
        assert b"408" in slow.recv(1000).partition(b"\r\n")[0]


def test_token_is_needed_and_compared(ssa, pictures):
    with running(ssa, ServeSettings(port=0, token=TOKEN)) as address, httpx.Client(base_url=address) as client:
        ask = lambda **headers: client.get("/info", headers=headers).status_code  # noqa: E731
        assert ask() == ask(authorization="Bearer no") == ask(authorization=f"Digest {TOKEN}") == 401
        assert ask(authorization="Basic !!!") == ask(authorization=b"Bearer \xff") == 401
        assert ask(authorization=f"Bearer {TOKEN}") == 200
        assert client.get("/info", auth=("label-studio", TOKEN)).status_code == 200
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
        refused = client.post("/label", files={"image": ("x.jpg", pictures[0])})
        assert refused.status_code == 401
        assert "Bearer" in refused.json()["detail"]


def test_other_addresses_need_a_token():
    for host in ("0.0.0.0", "::", "", "192.168.0.3", "example.com"):
        with pytest.raises(InputError, match="token"):
            ServeSettings(host=host)
        assert ServeSettings(host=host, token=TOKEN).token == TOKEN
    assert TOKEN not in repr(ServeSettings(host="0.0.0.0", token=TOKEN))
    with pytest.raises(InputError, match="at least 16"):
        ServeSettings(token="short")


def test_token_is_read_from_a_file_or_the_environment(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\nmore\n")
    assert read_token(tmp_path / "token", {}) == TOKEN
    assert read_token(None, {"FIFTYONE_SSA_TOKEN": TOKEN}) == TOKEN
    (tmp_path / "empty").write_text("")
    for wrong in ("empty", "missing"):
        with pytest.raises(InputError, match=wrong):
            read_token(tmp_path / wrong, {})


def test_pages_of_the_internet_may_not_ask_through_a_browser(client):
    for headers in (
        {"host": "evil.example:8000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ):
        answer = client.get("/info", headers=headers)
        assert answer.status_code == 403
        assert len(answer.json()["detail"]) > 20
    host = str(client.base_url).removeprefix("http://").rstrip("/")
    assert client.get("/info", headers={"origin": f"http://{host}"}).status_code == 200
    assert client.get("/info", headers={"host": "localhost:1"}).status_code == 200


def test_rate_refills_evenly_and_knows_addresses_apart():
    now = 0.0
    rates = Rates(60, clock=lambda: now)
    assert [rates.wait_seconds("1.2.3.4") for _ in range(60)] == [0.0] * 60
    assert rates.wait_seconds("1.2.3.4") == pytest.approx(1.0)
    assert rates.wait_seconds("1.2.3.5") == 0
    assert [rates.wait_seconds("2001:db8::1") for _ in range(60)] == [0.0] * 60
    assert rates.wait_seconds("2001:db8::2") > 0, "one network has as many addresses as it likes"
    assert [rates.wait_seconds("::ffff:1.2.3.6") for _ in range(60)] == [0.0] * 60
    assert rates.wait_seconds("1.2.3.6") > 0
    assert rates.wait_seconds("::ffff:1.2.3.7") == 0, "addresses of IPv4 are no network of IPv6"
    now = 2.0
    assert [rates.wait_seconds("1.2.3.4") > 0 for _ in range(3)] == [False, False, True]


def test_too_many_requests_are_told_when_to_come_again(ssa):
    with running(ssa, ServeSettings(port=0, limits=Limits(per_minute=3))) as address:
        answers = [httpx.get(f"{address}/healthz") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 21


def test_full_queue_answers_429_and_loses_nobody(ssa, pictures):
    with running(ssa, ServeSettings(port=0, limits=Limits(waiting=2))) as address:
        ask = lambda _: httpx.post(f"{address}/label", files={"image": ("x.jpg", pictures[0])}, timeout=300)  # noqa: E731
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
        assert {answer.status_code for answer in answers} == {200, 429}
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        assert ask(0).status_code == 200


def test_metrics_count_what_was_answered(client, pictures):
    client.post("/label", files={"image": ("x.jpg", pictures[0])})
    client.post("/label", files={"image": ("x.jpg", b"text")})
    client.get("/whatever")
    text = client.get("/metrics").text
    for wanted in (
        'ssa_requests_total{method="POST",path="/label",status="200"}',
        'ssa_requests_total{method="POST",path="/label",status="415"}',
        'ssa_requests_total{method="GET",path="other",status="404"}',
        'ssa_pictures_total{outcome="done"}',
        "ssa_waiting_requests 0.0",
    ):
        assert wanted in text
    assert "/whatever" not in text


def test_lost_device_is_said_by_health_and_to_all_who_wait(ssa, pictures, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def lost(batch):
        begun.set()
        go_on.wait(30)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    pipelines = type(ssa)(lost, ssa.preset)
    monkeypatch.setattr(type(ssa), "makes_masks", True)
    with running(pipelines) as address:
        ask = lambda _: httpx.post(f"{address}/label", files={"image": ("x.jpg", pictures[0])}, timeout=300)  # noqa: E731
        with ThreadPoolExecutor(3) as threads:
            answers = [threads.submit(ask, 0)]
            begun.wait(30)
            answers += [threads.submit(ask, 1), threads.submit(ask, 2)]
            wait_for(lambda: "ssa_waiting_requests 3" in httpx.get(f"{address}/metrics").text)
            go_on.set()
            assert {answer.result().status_code for answer in answers} == {503}
        assert httpx.get(f"{address}/healthz").status_code == 503
        assert "device" in ask(0).json()["detail"]


def test_what_leaves_python_is_said_to_all_who_wait(ssa, pictures, monkeypatch):
    def leaves(batch):
        raise SystemExit("a user's model")

    monkeypatch.setattr(type(ssa), "makes_masks", True)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with running(type(ssa)(leaves, ssa.preset)) as address:
        for _ in range(2):
            answer = httpx.post(f"{address}/label", files={"image": ("x.jpg", pictures[0])}, timeout=300)
            assert answer.status_code == 503
        assert httpx.get(f"{address}/healthz").status_code == 503


def test_closing_finishes_what_was_taken(ssa, pictures):
    from fiftyone_ssa.files.images import PictureBytes
    from fiftyone_ssa.serve.labeller import ClosedError, Kind
    from fiftyone_ssa.serve.uploads import Upload

    labeller = Labeller(ssa)
    upload = Upload(PictureBytes("x.jpg", pictures[0]), Limits())
    outcomes = [labeller.submit(upload.read, Kind()) for _ in range(6)]
    cancelled = outcomes.pop(4)
    assert cancelled.cancel()  # nobody waits for it any more, which costs nobody else
    labeller.close()
    assert labeller.failure is None
    assert all(outcome.result(0).annotation is not None for outcome in outcomes)
    labeller._thread = threading.current_thread()  # as where it has looked for jobs the last time, and not ended yet
    with pytest.raises(ClosedError):
        labeller.submit(upload.read, Kind())
