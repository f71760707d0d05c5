"""What a worker answers about single users: nothing without a token, and with it what the commands say."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import pytest

from segstream.core.time import parse_time
from segstream.local.ports import free_port
from tests.conftest import Topics
from tests.deployments import SHOP, Deployments, orders
from tests.leaks import PERSON, secret
from tests.operations import segstream
from tests.workers import Scene, Worker, applied, send, track

TOKEN = secret("token")
EVENTS = orders(60, seed=2, users=12)
END = parse_time("1997-02-01T00:00:00Z")
SOMEBODY = f"{PERSON}1"
PRIVATE = [
    track(
        SOMEBODY, "1997-01-05T00:00:00Z", f"{PERSON}message", name=f"{PERSON}bought", coupon=f"{PERSON}coupon"
    ),
    orjson.dumps({"type": "identify", "userId": SOMEBODY, "traits": {"email": f"{PERSON}1@example.com"}}),
]
BAD = [
    f'{{"type": "track", "userId": "{SOMEBODY}", "event": '.encode(),
    orjson.dumps({"type": f"{PERSON}type", "userId": SOMEBODY}),
    orjson.dumps({"type": "track", "userId": {"email": f"{PERSON}1@example.com"}, "event": "x"}),
    track(SOMEBODY, f"{PERSON}time", 1),
]
"""Records about somebody, the second kind of no use."""


class Pages(NamedTuple):
    """A worker that has applied `EVENTS`.

    Parameters
    ----------
    worker : Worker
        It; its log, too, is looked at when it has ended.
    port : int
        Of its pages.
    environment : dict
        Its settings.
    """

    worker: Worker
    port: int
    environment: dict[str, str]


@pytest.fixture(scope="module")
def pages(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Return one that has a token."""
    topics, folder = Topics(kafka), tmp_path_factory.mktemp("pages")
    deployments = Deployments(topics, redis_url, folder)

    async def begin() -> Scene:
        events = await deployments.inputs("events", partitions=2)
        return await deployments.scene("shop", events, 2)

    async def end() -> None:
        await topics.delete()
        await deployments.tidy()

    scene = asyncio.run(begin())
    definitions, port = deployments.file("shop.yaml", SHOP), free_port()
    environment = scene.environment(
        definitions, clock="event", web_port=port, web_token_file=token(folder), sample_every=0
    )
    try:
        with Worker(environment) as worker:
            asyncio.run(send(scene, [(SOMEBODY, value) for value in PRIVATE + BAD]))
            asyncio.run(send(scene, EVENTS, clock=END))
            asyncio.run(applied(scene, [worker], 90))
            yield Pages(worker, port, environment)
            assert worker.stop() == 0
    finally:
        asyncio.run(end())


def token(folder: Path) -> Path:
    """Write the token's file."""
    file = folder / "token"
    file.write_text(f"{TOKEN}\n")
    return file


def ask(port: int, path: str, shown: str | None = None) -> tuple[int, str]:
    """Return status and body of a page."""
    headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_with_the_token_it_tells_what_the_commands_tell(pages: Pages) -> None:
    """``/users/<id>`` is ``segstream user``, ``/users/<id>/segments`` and what is below ``segstream explain``, as JSON."""
    user = EVENTS[0][0]
    for path, words in (
        ("", ("user", user)),
        ("/segments", ("explain", user)),
        ("/segments/silent", ("explain", user, "silent")),
    ):
        page = f"/users/{quote(user, '')}{path}"
        deadline = time.monotonic() + 60
        while True:
            status, body = await asyncio.to_thread(ask, pages.port, page, TOKEN)
            ran = await segstream(pages.environment, *words, "--json")
            assert (status, ran.code) == (200, 0), (body, ran.err)
            # The worker goes on: where nothing has changed in between, both tell the same.
            if (await asyncio.to_thread(ask, pages.port, page, TOKEN))[1] == body:
                break
            assert time.monotonic() < deadline, "it never came to rest"
        assert json.loads(body) == json.loads(ran.out)
    for path in ("/users/nobody", "/users/nobody/segments", f"/users/{user}/segments/sillent"):
        status, body = await asyncio.to_thread(ask, pages.port, path, TOKEN)
        told: Any = json.loads(body)
        assert (status, list(told)) == (404, ["error"]), body
    assert "did you mean 'silent'?" in told["error"]


async def test_without_it_no_page_is_about_a_user(pages: Pages) -> None:
    """401, for users there are and there are not; and no other page has an id in it."""
    users = sorted({user for user, _ in EVENTS})
    for path in (f"/users/{users[0]}", f"/users/{users[0]}/segments", "/users/nobody"):
        status, body = await asyncio.to_thread(ask, pages.port, path)
        assert (status, users[0] in body) == (401, False)
    for path in ("/metrics", "/info", "/health/live", "/health/ready", "/", "/users"):
        status, body = await asyncio.to_thread(ask, pages.port, path)
        assert not [user for user in users if user in body], path


async def test_no_log_and_no_page_tells_of_people(pages: Pages) -> None:
    """Neither ids, names, traits nor properties, also where a record is of no use."""
    _, metrics = await asyncio.to_thread(ask, pages.port, "/metrics")
    letters = re.findall(r"^segstream_dead_letters_total\{.*\} (\d+)", metrics, re.MULTILINE)
    assert sum(map(int, letters)) == len(BAD)
    status, body = await asyncio.to_thread(ask, pages.port, f"/users/{SOMEBODY}", TOKEN)
    assert (status, PERSON in body) == (200, True)
    for path in ("/metrics", "/info", "/health/live", "/health/ready"):
        status, body = await asyncio.to_thread(ask, pages.port, path)
        assert (status, PERSON in body) == (200, False)
    assert "owns" in pages.worker.log
    assert PERSON not in pages.worker.log
