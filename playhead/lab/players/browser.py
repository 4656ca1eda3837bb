"""A headless Chromium that plays one manifest with one player, and tells what happens.

The browser is the distribution's (`scripts/setup.sh` installs it); Playwright drives it and is a development
package, so it is loaded where a browser is opened and nowhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from playhead.engine.local_server import HOST
from playhead.lab.players import PAGE, players_folder
from topics.errors import PlayheadError

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*",
]
PLAYERS = ("hls", "dash", "shaka")
TIMEOUT_S = 60.0
BROWSERS = "PLAYWRIGHT_BROWSERS_PATH"


class BrowserError(PlayheadError):
    """There is no browser, or no player to put into it."""

    exit_code = 3


class Watching:
    """A page with a player in it."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def wait(self, condition: str, timeout_s: float = TIMEOUT_S) -> None:
        """Return once the JavaScript expression `condition` is true in the page.

        Raises:
            BrowserError: it never was; the text has what the player told.
        """
        from playwright.sync_api import TimeoutError as NeverError

        try:
            self._page.wait_for_function(f"() => {condition}", timeout=1_000 * timeout_s)
        except NeverError as error:
            told = json.dumps(self.events[-15:])
            raise BrowserError(f"not within {timeout_s:g} s: {condition}; {self.snapshot}; {told}") from error

    def wait_until_played(self, video_s: float) -> None:
        """Return once the picture is at `video_s`."""
        self.wait(f"document.getElementById('v').currentTime > {video_s}")

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the player told so far: kind, atS (Unix epoch), videoS, and more by kind."""
        found: list[dict[str, Any]] = self._page.evaluate("T")
        return found

    @property
    def snapshot(self) -> dict[str, Any]:
        """How the video is now."""
        found: dict[str, Any] = self._page.evaluate("snapshot()")
        return found

    def stalls(self) -> list[dict[str, Any]]:
        """Return the moments at which the picture waited after it had first played."""
        events = self.events
        began = next((at for at, each in enumerate(events) if each["kind"] == "playing"), len(events))
        return [each for each in events[began:] if each["kind"] == "waiting"]

    def screenshot(self, path: Path) -> None:
        """Save what is on the page as PNG."""
        self._page.screenshot(path=str(path))

    def close(self) -> None:
        """Close the page; its recording is complete then."""
        self._page.close()


@contextmanager
def browser(*, video_folder: Path | None = None) -> Iterator[Callable[..., Watching]]:
    """Open a browser with a fresh profile; yield what opens a page: ``watch(player, url, buffer_s=10)``.

    Args:
        video_folder: a recording of each page is put there when the browser closes.

    Raises:
        BrowserError: there is no Chromium, or the players have not been fetched.
    """
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise BrowserError("there is no chromium: run scripts/setup.sh, or apt-get install chromium")
    if not players_folder().is_dir():
        raise BrowserError("the players have not been fetched: run scripts/setup.sh")
    with (
        _pages() as base,
        TemporaryDirectory() as profile,
        _recorder(video_folder),
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, headless=True, args=ARGUMENTS, record_video_dir=video_folder
        )

        def watch(player: str, url: str, buffer_s: float = 10.0, **more: Any) -> Watching:
            page = context.new_page()
            said = json.dumps({"player": player, "url": url, "bufferS": buffer_s, **more})
            page.goto(f"{base}/page.html?cfg={quote(said)}")
            return Watching(page)

        try:
            yield watch
        finally:
            context.close()


@contextmanager
def _recorder(video_folder: Path | None) -> Iterator[None]:
    """Let Playwright record with the distribution's ffmpeg, where it looks for one of its own.

    Raises:
        BrowserError: there is no ffmpeg.
    """
    if video_folder is None:
        yield
        return
    import playwright

    program = shutil.which("ffmpeg")
    if program is None:
        raise BrowserError(
            "there is no ffmpeg to record with: run scripts/setup.sh, or apt-get install ffmpeg"
        )
    known = json.loads((Path(playwright.__file__).parent / "driver/package/browsers.json").read_text())
    revision = next(each["revision"] for each in known["browsers"] if each["name"] == "ffmpeg")
    with TemporaryDirectory() as folder:
        place = Path(folder) / f"ffmpeg-{revision}" / "ffmpeg-linux"
        place.parent.mkdir()
        place.symlink_to(program)
        before = os.environ.get(BROWSERS)
        os.environ[BROWSERS] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[BROWSERS]
            else:
                os.environ[BROWSERS] = before


@contextmanager
def _pages() -> Iterator[str]:
    """Serve the page and the players' scripts; yield the address."""
    files = {"/page.html": PAGE} | {f"/players/{each.name}": each for each in players_folder().iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = files.get(urlsplit(self.path).path)
            body = file.read_bytes() if file is not None else b""
            self.send_response(200 if file is not None else 404)
            kind = "text/html" if file is PAGE else "text/javascript"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
