"""The documents' examples that need servers, beside a worker that has applied the demo's purchases on real ones.

Each is run as it is written, but for the names that `Page.REPLACED` lists, and what it prints is what is shown.
Left out of the comparison is only what differs between two runs of the demo: the segments that models discover (here
there is no model), what is counted with them, and wall times.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from segstream.demo.purchases import END, load_purchases
from segstream.local.ports import free_port
from tests.conftest import Topics
from tests.deployments import Deployments
from tests.readme import DOCUMENTS, ROOT, Example, live
from tests.servers import unavailable
from tests.workers import Scene, Worker, applied, send

pytestmark = [pytest.mark.integration, pytest.mark.timeout(360)]

EXAMPLES: Final = [example for page in DOCUMENTS for example in live(page.read_text(encoding="utf-8"))]
DEFINITIONS: Final = ROOT / "worker/segstream/demo/definitions.yaml"
PARTITIONS: Final = 4
"""As the demo's: some examples name a partition."""

WAIT_SECONDS: Final = 60
SENDS: Final = "kcat -P "
"""What the one example begins with, behind its pipe, that sends an event."""


class Page:
    """The documents' examples, placed beside a deployment of the tests.

    Parameters
    ----------
    scene : Scene
    web_port : int
        Where the worker's pages are.
    folder : Path
        Where the examples run and may leave files.
    """

    def __init__(self, scene: Scene, web_port: int, folder: Path) -> None:
        self.scene, self.web_port, self.folder = scene, web_port, folder
        keys = f"{scene.prefix}segments"
        self.REPLACED = (
            ("-t segment-changes ", f"-t {scene.topic('changes')} "),
            ("-t segment-memberships ", f"-t {scene.topic('memberships')} "),
            ("-t events ", f"-t {scene.events[0]} "),
            ('group="campaigns"', f'group="{scene.prefix}campaigns", topic="{scene.topic("changes")}"'),
            ('from_url(os.environ["SEGSTREAM_REDIS"])', f'from_url(os.environ["SEGSTREAM_REDIS"], prefix="{keys}")'),
            (" segments:", f" {keys}segments:"),
            ("'segments:", f"'{keys}segments:"),
            ("localhost:6066", f"localhost:{web_port}"),
            ("worker/segstream/demo/definitions.yaml", str(DEFINITIONS)),
        )  # fmt: skip

    def command(self, example: Example) -> list[str]:
        """Return what runs an example."""
        code = example.code
        for there, here in self.REPLACED:
            code = code.replace(there, here)
        return [sys.executable, "-c", code] if example.language == "python" else ["bash", "-c", code]

    def environment(self) -> dict[str, str]:
        """Return the variables that README.md says to set, with the scene's names, and ``segstream`` on PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        others = {name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")}
        own = self.scene.environment(DEFINITIONS, clock="event")
        return {**others, **own, "PATH": path, "COLUMNS": "120"}

    def run(self, example: Example) -> list[str]:
        """Return what an example prints; it has to end well and in time."""
        done = subprocess.run(
            self.command(example), env=self.environment(), cwd=self.folder, capture_output=True, text=True,
            timeout=WAIT_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return self.read(done.stdout.splitlines())

    def begin(self, example: Example, wanted: Sequence[str]) -> list[str]:
        """Return what an example that goes on for ever prints until all lines wanted have come, or the deadline."""
        with subprocess.Popen(
            self.command(example), env=self.environment(), cwd=self.folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            deadline = threading.Timer(WAIT_SECONDS, process.kill)
            deadline.start()
            found: list[str] = []
            for line in process.stdout:
                found += self.read([line.rstrip("\n")])
                if set(wanted) <= set(found):
                    break
            deadline.cancel()
            process.kill()
        return found

    def read(self, lines: Sequence[str]) -> list[str]:
        """Return lines with the documents' names in place of the scene's, without what differs between runs."""
        names = {self.scene.events[0]: "events", self.scene.topic("rerouted"): "segstream-rerouted"}
        for there, here in names.items():
            lines = [line.replace(there, here) for line in lines]
        return told(lines)


def told(lines: Sequence[str]) -> list[str]:
    """Return lines of output as `steady` has them, without those of discovered segments."""
    text = re.sub(r'\{\s*"behaviour": \d+\s*\}', "{}", "\n".join(lines))
    found = [steady(line) for line in text.splitlines()]
    return [line for line in found if "behaviour" not in line]


def steady(line: str) -> str:
    """Return a line of output without what depends on models, on the number of workers, or on wall time."""
    for varies, instead in (
        (r'"id":"[0-9a-f-]{36}"', '"id":"…"'),
        (r'"sequence":\d+', '"sequence":…'),
        (r"\(change \d+, ", "(change …, "),
        (r"(last change +\d+), \d+", r"\1, …"),
        (r'"partitions":\[[\d,]+\]', '"partitions":[…]'),
        (r'"python": "[\d.]+"', '"python": "…"'),
        (r"(definitions version \d+).* \(basis \d+\)$", r"\1"),
        (r"\d+\.\d s$", "… s"),
        (r" {2,}", "  "),
    ):
        line = re.sub(varies, instead, line)
    return line.rstrip()


def fits(line: str, wanted: str) -> bool:
    """Tell whether a line is the one wanted, of which ``...`` may stand for the end."""
    return line.startswith(wanted[:-3]) if wanted.endswith("...") else line == wanted


def programs(example: Example) -> list[str]:
    """Return the programs of others that an example calls."""
    if example.language == "python":
        return []
    return [name for name in ("kcat", "redis-cli", "curl") if re.search(rf"(^|\| ){name} ", example.code)]


@pytest.fixture(scope="module")
def page(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return the page's examples; the purchases are applied, and the event that one example sends."""
    topics, folder = Topics(kafka), tmp_path_factory.mktemp("readme")
    deployments = Deployments(topics, redis_url, folder)

    async def begin() -> Scene:
        events = await deployments.inputs("events", partitions=PARTITIONS)
        return await deployments.scene("shop", events, PARTITIONS)

    async def end() -> None:
        await topics.delete()
        await deployments.tidy()

    scene = asyncio.run(begin())
    own = Page(scene, free_port(), folder)
    settings = scene.environment(DEFINITIONS, clock="event", sample_every=0, web_port=own.web_port)
    try:
        with Worker(settings) as worker:
            purchases = [(entry.key, entry.value) for entry in load_purchases()]
            asyncio.run(send(scene, purchases, clock=END))
            asyncio.run(applied(scene, [worker], 240))
            (sender,) = [example for example in EXAMPLES if SENDS in example.code]
            if shutil.which("kcat"):
                own.run(sender)
            else:
                asyncio.run(send(scene, [("me", re.findall(r"'({.*})'", sender.code)[0].encode())]))
            asyncio.run(applied(scene, [worker], 60))
            yield own
            worker.stop()
    finally:
        asyncio.run(end())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.code.splitlines()[0][:40])
def test_an_example_prints_what_is_shown(page: Page, example: Example) -> None:
    """All of it and nothing else, or, where something is left out, each line shown, in order."""
    for program in programs(example):
        if not shutil.which(program):
            unavailable(f"{program} is not here; .ci/install-servers installs it")
    wanted = told([line for line in example.shown if line != "..."])
    if "..." in example.shown and example.language == "python":
        # It goes on for ever, and partitions come in any order.
        assert set(wanted) <= set(page.begin(example, wanted))
        return
    lines = page.run(example)
    if "..." in example.shown:
        rest = iter(lines)
        missing = [line for line in wanted if not any(fits(found, line) for found in rest)]
        assert missing == [], lines
    else:
        assert len(lines) == len(wanted), lines
        assert [line for line, found in zip(wanted, lines, strict=True) if not fits(found, line)] == [], lines


def test_no_event_of_the_examples_was_refused(page: Page) -> None:
    """The one sent by kcat went to the partition that its user belongs to."""
    url = f"http://localhost:{page.web_port}/metrics"
    metrics = subprocess.run(
        [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"],
        capture_output=True, text=True, timeout=WAIT_SECONDS, check=True,
    ).stdout  # fmt: skip
    counts = re.findall(r"^segstream_dead_letters_total\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert counts
    assert {float(count) for count in counts} == {0.0}
