"""`segstream demo`, run as a user runs it."""

from __future__ import annotations

import json
import lzma
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from segstream.errors import LocalServerError
from segstream.local.redis import find_redis
from tests.integration.recount import parse, sizes
from tests.servers import unavailable

ROOT = Path(__file__).parents[2]
END = date(1998, 6, 30).toordinal()

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def servers() -> None:
    """Skip where the demo's own are missing: librdkafka's mock cluster and a redis-server."""
    pytest.importorskip("confluent_kafka")
    try:
        find_redis()
    except LocalServerError as error:
        unavailable(str(error))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo with all temporary files in a folder of its own."""
    path = os.pathsep.join([str(ROOT / "worker"), str(ROOT / "schemas")])
    return subprocess.Popen(
        [sys.executable, "-m", "segstream", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": path},
        start_new_session=True,
    )


def descendants(pid: int) -> set[int]:
    """Return the processes below one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout  # noqa: S607 - wherever ps is
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    """Return those of some processes that are there, except those that have ended and wait to be reaped."""
    listed = subprocess.run(["ps", "-eo", "pid=,stat="], check=True, capture_output=True, text=True).stdout  # noqa: S607
    return {
        int(pid) for pid, state in map(str.split, listed.splitlines()) if not state.startswith("Z")
    } & pids


def wait_for_worker(demo: subprocess.Popen[str], seconds: float = 30.0) -> set[int]:
    """Wait until Redis and the worker run; return what runs below the demo."""
    deadline = time.monotonic() + seconds
    while len(below := descendants(demo.pid)) < 2:
        assert demo.poll() is None, demo.communicate()
        assert time.monotonic() < deadline, "the demo did not start a worker"
        time.sleep(0.05)
    return below


def test_the_demo_gives_what_a_recount_of_the_purchases_gives(tmp_path: Path) -> None:
    """Every rule segment to the user, the revenue to the cent, all users in the discovered ones, nothing left."""
    demo = start(tmp_path, "--json")
    below = wait_for_worker(demo)
    out, err = demo.communicate()
    assert demo.returncode == 0, err
    result = json.loads(out)
    packed = resources.files("segstream.demo").joinpath("data", "purchases.txt.xz").read_bytes()
    counted = sizes(parse(lzma.decompress(packed).decode().splitlines()), END)
    assert {name: size for name, size in result["segments"].items() if size} == counted
    assert sum(result["discovered"].values()) == 23_570
    facts = {name: result[name] for name in ("events", "users", "revenue", "dead_letters")}
    assert facts == {"events": 69_659, "users": 23_570, "revenue": 2_500_315.63, "dead_letters": 0}
    assert not alive(below)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle: everything it started is stopped, what it wrote is gone, no traceback."""
    demo = start(tmp_path)
    below = wait_for_worker(demo)
    assert demo.stdout is not None
    demo.stdout.readline()  # the first change: it is in the middle of it now
    demo.send_signal(number)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 128 + number, err
    assert "Traceback" not in err
    assert not alive(below)
    assert list(tmp_path.iterdir()) == []


def test_other_events_and_definitions_are_played_and_bad_records_counted(tmp_path: Path) -> None:
    """Three visits of two people and a line that is no event; time goes on until the end that is asked for."""
    events, definitions = tmp_path / "events.ndjson", tmp_path / "definitions.yaml"
    visit = (
        '{{"type":"page","name":"Home","userId":"{}","timestamp":"2020-01-0{}T00:00:00Z","messageId":"{}"}}\n'
    )
    events.write_text(
        visit.format("a", 1, 1) + visit.format("a", 2, 2) + "nonsense\n" + visit.format("b", 5, 3)
    )
    definitions.write_text(
        "version: 1\n"
        "features: {visits: {op: count, type: page}, seen: {op: last_time, type: page}}\n"
        "segments: {returned: {when: visits >= 2}, gone: {when: since(seen) > 7d}}\n"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    options = ["--events", str(events), "--definitions", str(definitions), "--until", "2020-01-10"]
    out, err = start(folder, "--json", *options).communicate(timeout=60)
    result = json.loads(out)
    assert (result.pop("seconds") > 0, result) == (
        True,
        {
            "events": 3,
            "users": 2,
            "revenue": None,
            "changes": 2,
            "dead_letters": 1,
            "segments": {"returned": 1, "gone": 1},
            "discovered": {},
        },
    ), err


def test_a_kept_demo_says_what_to_set_so_that_other_commands_find_it(tmp_path: Path) -> None:
    """The line that begins with ``export`` is taken as it stands, by a shell that then shows a user."""
    events = tmp_path / "events.ndjson"
    order = '{"type":"track","event":"Order Completed","userId":"a","timestamp":"2020-01-01T00:00:00Z","messageId":"1"}\n'
    events.write_text(order)
    folder = tmp_path / "temporary"
    folder.mkdir()
    demo = start(folder, "--keep", "--events", str(events))
    deadline = threading.Timer(90, demo.kill)
    deadline.start()
    try:
        assert demo.stderr is not None
        found = next((line.strip() for line in demo.stderr if line.strip().startswith("export ")), "")
        assert found
        show = f"{found} && {shlex.quote(sys.executable)} -m segstream user a --json"
        done = subprocess.run(["bash", "-c", show], capture_output=True, text=True, timeout=60, check=False)  # noqa: S607
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"]["features"]["orders"] == 1
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)
    finally:
        deadline.cancel()
        demo.kill()
        demo.wait()


def test_who_stops_reading_ends_the_demo(tmp_path: Path) -> None:
    """As in `segstream demo | head -1`: quietly, and with nothing left."""
    demo = start(tmp_path)
    below = wait_for_worker(demo)
    assert demo.stdout is not None
    demo.stdout.readline()
    demo.stdout.close()
    assert demo.stderr is not None
    with demo.stderr:
        err = demo.stderr.read()
    assert demo.wait(30) == 1
    assert "Traceback" not in err
    assert not alive(below)
    assert list(tmp_path.iterdir()) == []
