"""FiftyOne's App driven by a browser: what browser tests and the docs' pictures are made with."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
SIZE = (1600, 1000)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
QUIET = {
    "FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS": "true",
    "FIFTYONE_DO_NOT_TRACK": "1",
    "FIFTYONE_SHOW_PROGRESS_BARS": "0",
}
"""The App may schedule jobs, and asks nobody about telemetry."""
STILL = """
const style = document.createElement("style");
style.textContent = `*, *::before, *::after {
  animation-duration: 1ms !important; animation-delay: 0s !important; animation-iteration-count: 1 !important;
  transition-duration: 1ms !important; transition-delay: 0s !important;
}`;
const put = () => document.documentElement ? document.documentElement.append(style) : setTimeout(put, 1);
put();
"""
"""Script: what spins, falls or fades while the App waits is drawn once. Without a GPU each of its frames paints most of
the window: two thirds of a test's processor time.
"""


def chromium() -> str | None:
    """The browser on this machine, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def why_no_browser() -> str:
    """What is missing for a browser test, with the command that mends it; empty where nothing is."""
    if importlib.util.find_spec("playwright") is None:
        return "needs playwright (pip install playwright)"
    return "" if chromium() else "needs Chromium (apt-get install chromium)"


@contextlib.contextmanager
def serve(dataset: Any = None, **launch: Any) -> Iterator[Any]:
    """A FiftyOne session whose App listens on a free port of 127.0.0.1 and finds this checkout's library."""
    import fiftyone as fo
    from fiftyone.core.service import ServerService
    from fiftyone.core.session.session import _server_services

    before = dict(os.environ)
    os.environ |= QUIET | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:  # the App's process takes its environment now; a session that finds no server yet waits ten seconds
        _server_services[port] = ServerService(port, address="127.0.0.1")
    finally:
        os.environ.clear()
        os.environ.update(before)
    session = fo.launch_app(dataset, remote=True, port=port, address="127.0.0.1", **launch)
    try:
        wait_until(lambda: session._client._connected, "the session finds no server", 60)
        yield session
    finally:
        session.close()
        fo.close_app()


@contextlib.contextmanager
def browse(size: tuple[int, int] = SIZE) -> Iterator[Any]:
    """A new page of a headless Chromium. While it is open, `foo.execute_operator` gives a task: use the library."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS.split())
        try:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
            page.add_init_script("window.IS_PLAYWRIGHT = true")  # the App's own switch: nothing pops up
            page.add_init_script(f"{{{STILL}}}")
            _count_requests(page)
            yield page
        finally:
            browser.close()


def _count_requests(page: Any) -> None:
    """Let `settle` know how many answers of the server the page waits for."""
    page.waiting, page.last_asked = set(), time.monotonic()

    def asked(request: Any) -> None:
        if request.method == "POST" and "/events" not in request.url:
            page.waiting.add(request)
            page.last_asked = time.monotonic()

    def answered(request: Any) -> None:
        page.waiting.discard(request)

    page.on("request", asked)
    page.on("requestfinished", answered)
    page.on("requestfailed", answered)


def settle(page: Any, quiet_ms: int = 400, seconds: float = 60) -> None:
    """Wait until the page has asked the server nothing for a while and has all its answers: it is drawn."""

    def quiet() -> bool:
        return not page.waiting and time.monotonic() - page.last_asked > quiet_ms / 1_000

    page.wait_for_timeout(quiet_ms / 2)
    wait_until(quiet, "the page goes on asking", seconds, page)


def visit(page: Any, session: Any, dataset: Any, *, seconds: int = 60) -> Any:
    """Open `dataset` in the App, wait until its grid shows; returns the page.

    A page that has the App open gets there by itself, which takes a tenth of what loading the App takes; where it does
    not, it is loaded.
    """
    from playwright.sync_api import TimeoutError

    url = f"http://127.0.0.1:{session.server_port}/datasets/{quote(dataset.name)}"
    is_open = page.url.startswith(f"http://127.0.0.1:{session.server_port}")
    if session.dataset is not dataset:
        session.dataset = dataset  # what the session has of another one, its colours and panels, is not this one's
    try:
        if is_open:
            page.wait_for_url(f"{url}*", timeout=6_000, wait_until="commit")
            settle(page)
    except TimeoutError:
        is_open = False
    if not is_open:
        _load(page, url, seconds)
    page.wait_for_selector('[data-cy="panel-tab-samples"]', timeout=60_000)
    if dataset.count():
        grid = '[data-cy="looker"] canvas'
        try:
            page.wait_for_selector(grid, timeout=20_000 if is_open else 60_000)
        except TimeoutError:
            if not is_open:
                raise
            # on its way from one dataset to another FiftyOne's page forgets the grid at times
            _load(page, url, seconds)
            page.wait_for_selector(grid, timeout=60_000)
    return page


def leave(page: Any, session: Any) -> None:
    """Close all panels, then show no dataset, so that nothing of one is seen in the next."""
    settle(page)  # the App forgets where it was sent while it is on its way
    session.spaces = None
    settle(page)
    session.dataset = None
    page.wait_for_selector('[data-cy="panel-tab-samples"]', state="detached", timeout=60_000)
    settle(page)


def _load(page: Any, url: str, seconds: int) -> None:
    from playwright.sync_api import Error

    for attempt in range(seconds):  # the server takes its time to start
        try:
            page.goto(url, timeout=60_000)
            return
        except Error:
            if attempt == seconds - 1:
                raise
            page.wait_for_timeout(1_000)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60, page: Any = None) -> Any:
    """Wait for a true answer of `condition` and return it; AssertionError with `what` after `seconds`.

    With a `page`, the browser goes on meanwhile.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(200) if page else time.sleep(0.2)
    return answer


def screenshot(page: Any, name: str, folder: Path | str = ".") -> Path:
    """The page as NAME.png in `$SSA_SCREENSHOTS`, or else in `folder`, the pointer out of the way."""
    path = Path(os.environ.get("SSA_SCREENSHOTS") or folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.mouse.move(SIZE[0] - 5, SIZE[1] - 5)
    page.screenshot(path=str(path))
    return path


def open_form(page: Any, label: str, fill: Mapping[str, Any] | None = None) -> Any:
    """Open an operator's form by its label from the operator browser and fill it; returns the form's locator."""
    page.keyboard.press("`")
    page.locator('[data-cy="operators-browser-search"]').fill(label)
    page.locator('[data-cy="operators-browser"]').get_by_text(label, exact=True).first.click()
    form = page.locator('[data-cy="operators-prompt-modal"], [data-cy="operators-prompt-drawer"]').last
    form.wait_for(timeout=60_000)
    for field, value in (fill or {}).items():
        fill_field(page, form, field, value)
    return form


def fill_field(page: Any, form: Any, label: str, value: Any) -> None:
    """Give one field of a form a value by its label: text, number, bool, or how a choice's text begins."""
    begins = re.compile(rf"^\s*{re.escape(str(value))}(\s|$)")
    field = form.locator(".MuiGrid-item").filter(has=page.get_by_text(label, exact=True)).last
    field.wait_for(timeout=60_000)
    if isinstance(value, bool):
        field.get_by_role("checkbox").set_checked(value)
    elif field.get_by_role("radio").count():
        field.get_by_text(begins).first.click()
    elif field.get_by_role("combobox").count():
        field.get_by_role("combobox").click()
        page.get_by_role("option", name=begins).first.click()
    else:
        field.locator("input, textarea").first.fill(str(value))
    page.wait_for_timeout(600)  # the form is resolved anew


def press(page: Any, form: Any, button: str = "Execute", seconds: float = 20) -> None:
    """Press a form's button, which may stand behind the arrow of the other one ("Execute", "Schedule")."""
    shown = form.get_by_role("button", name=button, exact=True)
    if not shown.count():
        form.locator("button:has([data-testid=ArrowDropDownIcon])").last.click()
        page.get_by_role("menuitem").filter(has_text=button).first.click()
    wait_until(shown.is_enabled, f"{button} stays grey: {form.inner_text()}", seconds, page)
    shown.click()


def run_operator(
    page: Any, label: str, fill: Mapping[str, Any] | None = None, *, button: str = "Execute", seconds: float = 120
) -> str:
    """Run an operator from its form, wait until it is done, close what it shows, and return that text.

    With button="Schedule", return once it is queued; `run_scheduled` does what is queued.
    """
    form = open_form(page, label, fill)
    press(page, form, button)
    if button == "Schedule":
        form.wait_for(state="hidden", timeout=60_000)
        return ""
    return dismiss(page, form, f"{label} is not done after {seconds:.0f} s", seconds)


def dismiss(page: Any, form: Any, late: str = "it does not end", seconds: float = 120) -> str:
    """Wait until an operator that was started is done, close what it shows, and return that text.

    A busy machine's form may close by itself, and shows nothing then.
    """
    close = form.get_by_role("button", name="Close")
    wait_until(lambda: not form.count() or close.count(), late, seconds, page)
    with contextlib.suppress(AssertionError):  # what it says comes a moment after the button
        wait_until(lambda: not form.count() or form.inner_text() != close.inner_text(), late, 5, page)
    if not form.count():
        return ""
    text: str = form.inner_text()
    close.click()
    form.wait_for(state="hidden", timeout=60_000)
    return text


def finished(dataset: Any, page: Any, seconds: float = 240) -> str:
    """What the newest job of a dataset said when it was done; a busy machine's dialog does not wait for it."""
    from fiftyone_ssa.labels.jobs import jobs

    def ended() -> Any:
        newest = next(iter(jobs(dataset, 1)), None)
        return newest if newest and newest.state not in ("waiting", "running") else None

    row = wait_until(ended, "the job does not end", seconds, page)
    assert row.state == "done", row.message
    message: str = row.message
    return message


def run_scheduled(*, wait: bool = True) -> subprocess.Popen[bytes]:
    """Do what is queued, as `fiftyone delegated launch` does, in a process of its own."""
    code = "from fiftyone.operators.delegated import DelegatedOperationService as S; S().execute_queued_operations()"
    environment = os.environ | QUIET | {"PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", code], env=environment)
    if wait and worker.wait(300):
        raise RuntimeError(f"the worker ended with {worker.returncode}")
    return worker


def open_panel(page: Any, label: str) -> Any:
    """Open a panel beside the samples by its label; returns the locator of its content."""
    page.locator('[data-cy="new-panel-btn"]').first.click()
    option = page.locator('[data-cy^="new-panel-option-"]').filter(has=page.get_by_text(label, exact=True)).first
    name = option.get_attribute("data-cy").removeprefix("new-panel-option-")
    option.click()
    content = page.locator(f'[data-cy="panel-content-{name}"]').last
    content.wait_for(timeout=60_000)
    return content


def open_sample(page: Any, index: int) -> None:
    """Open one sample of the grid large."""
    page.locator('[data-cy="looker"]').nth(index).click()
    page.wait_for_selector('[data-cy="modal"] canvas', timeout=60_000)
