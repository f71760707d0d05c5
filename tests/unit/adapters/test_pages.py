"""The pages of a worker, served by its own web server; nothing else of it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import pytest
from aiohttp.test_utils import TestClient, TestServer
from faust.web.drivers.aiohttp import Web
from structlog.testing import capture_logs

from segstream.access import Password
from segstream.adapters import user_pages
from segstream.adapters.control import _App
from segstream.adapters.pages import LONGEST_PATH
from segstream.adapters.user_pages import MOST, add_user_pages
from segstream.errors import SegstreamError, ServerError
from tests.leaks import secret

TOKEN = secret("token")
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/users/u1", "/users/u1/segments", "/users/u1/segments/loyal")


class Desk:
    """Knows three users; `open` lets answers out."""

    def __init__(self) -> None:
        self.open, self.asked = asyncio.Event(), 0
        self.open.set()

    async def known(self, user: str) -> dict[str, Any]:
        """Return what is known of a user."""
        self.asked += 1
        await self.open.wait()
        if user == "broken":
            raise ServerError("Redis at one:6379: gone")
        if user not in {"u1", "a/b c", "{x}"}:
            raise SegstreamError(f"nothing is known of user {user!r}")
        return {"user_id": user}

    async def explained(self, user: str, segment: str | None) -> dict[str, Any]:
        """Return the same, and what was asked."""
        return await self.known(user) | {"segment": segment}


def make_app() -> faust.App:
    """Return the control plane's app, with no page of ours."""
    return _App("pages", store="memory://", autodiscover=False)


async def serve(app: faust.App) -> TestClient[Any, Any]:
    """Start its web server."""
    web = app.web
    assert isinstance(web, Web)
    web.init_server()
    client = TestClient(TestServer(web.web_app))
    await client.start_server()
    return client


@pytest.fixture
async def desk() -> Desk:
    """Return who answers."""
    return Desk()


@pytest.fixture
def token() -> Password:
    """Return what has to be shown."""
    return Password(TOKEN)


@pytest.fixture
async def client(desk: Desk, token: Password) -> AsyncIterator[TestClient[Any, Any]]:
    """Return a client of a web server with the pages about users."""
    app = make_app()
    add_user_pages(app, token, desk.known, desk.explained)
    served = await serve(app)
    yield served
    await served.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer t\u00f6ken"},
        {"X-Token": TOKEN},
    ],
)
async def test_without_the_token_nothing_is_told_or_asked(
    client: TestClient[Any, Any], desk: Desk, path: str, header: dict[str, str]
) -> None:
    """401, the same for users there are and there are not; a query is no place for a token."""
    for user in ("u1", "nobody"):
        answer = await client.get(path.replace("u1", user), headers=header, params={"token": TOKEN})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert user not in await answer.text()
    assert desk.asked == 0


async def test_with_the_token_each_page_answers_as_json(client: TestClient[Any, Any]) -> None:
    """Ids are decoded from the path; a slash in one does not end it."""
    for path, told in zip(
        (*PATHS, "/users/a%2Fb%20c", "/users/%7Bx%7D", "/users/%7Bx%7D/segments"),
        (
            {"user_id": "u1"},
            {"user_id": "u1", "segment": None},
            {"user_id": "u1", "segment": "loyal"},
            {"user_id": "a/b c"},
            {"user_id": "{x}"},
            {"user_id": "{x}", "segment": None},
        ),
        strict=True,
    ):
        answer = await client.get(path, headers=SHOWN)
        assert (answer.status, await answer.json()) == (200, told)
    answer = await client.get("/users/nobody", headers={"Authorization": f"bearer {TOKEN}"})
    assert (answer.status, await answer.json()) == (404, {"error": "nothing is known of user 'nobody'"})
    answer = await client.get("/users/broken", headers=SHOWN)
    assert (answer.status, await answer.json()) == (503, {"error": "Redis at one:6379: gone"})


async def test_a_token_in_a_file_may_be_changed_and_none_opens_nothing(tmp_path: Path, desk: Desk) -> None:
    """It is read at each request; a file that is gone or empty lets nobody in."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    app = make_app()
    add_user_pages(app, Password(file=file), desk.known, desk.explained)
    client = await serve(app)
    try:
        other = {"Authorization": "Bearer another-token-of-a-test"}
        assert [(await client.get(PATHS[0], headers=each)).status for each in (SHOWN, other)] == [200, 401]
        file.write_text("another-token-of-a-test")
        assert [(await client.get(PATHS[0], headers=each)).status for each in (SHOWN, other)] == [401, 200]
        for text in ("", None):
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
            for each in (SHOWN, other, {"Authorization": "Bearer "}):
                assert (await client.get(PATHS[0], headers=each)).status == 401
    finally:
        await client.close()


async def test_a_token_that_the_start_would_refuse_opens_nothing_later_and_is_told_once(
    tmp_path: Path, desk: Desk
) -> None:
    """Too short, no ASCII, or no file at all: one warning for each, however often somebody asks, and none has a token."""
    file = tmp_path / "token"
    app = make_app()
    with capture_logs() as lines:
        add_user_pages(app, Password(file=file), desk.known, desk.explained)
        client = await serve(app)
        try:
            for text in (TOKEN, "fifteen-letters", "t\u00f6ken-long-enough", None, TOKEN, None, TOKEN):
                file.write_text(text or "", encoding="utf-8")
                if text is None:
                    file.unlink()
                right = {} if text is None else {"Authorization": f"Bearer {text}".encode().decode("latin-1")}
                for header in (right, {}, right):
                    answer = await client.get(PATHS[0], headers=header)
                    assert answer.status == (200 if text == TOKEN and header else 401), text
        finally:
            await client.close()
    told = [line["error"] for line in lines if line["event"] == "web_token"]
    assert [" is not a token: take at least 16 characters" in error for error in told] == [True, False, False]
    assert told[1] == told[2] == f"cannot read {file}: No such file or directory"
    assert not [error for error in told if "fifteen" in error]


async def test_only_some_questions_may_wait(client: TestClient[Any, Any], desk: Desk) -> None:
    """The others are told so at once; those that wait are answered one after the other."""
    desk.open.clear()
    waiting = [asyncio.create_task(client.get(PATHS[0], headers=SHOWN)) for _ in range(MOST + 3)]
    done, rest = set[asyncio.Task[Any]](), set(waiting)
    async with asyncio.timeout(30):
        while len(done) < 3:
            new, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
            done |= new
    assert [(each.result().status, each.result().headers["Retry-After"]) for each in done] == [(503, "2")] * 3
    assert desk.asked == 1
    desk.open.set()
    assert [(await each).status for each in rest] == [200] * MOST


async def test_a_question_that_takes_too_long_keeps_its_turn_until_it_ends(
    client: TestClient[Any, Any], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up, but its thread runs on: the next is not begun beside it."""
    monkeypatch.setattr(user_pages, "SECONDS", 0.05)
    desk.open.clear()
    for _ in range(3):
        answer = await client.get(PATHS[0], headers=SHOWN)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert desk.asked == 1
    monkeypatch.setattr(user_pages, "SECONDS", 30.0)
    desk.open.set()
    assert (await client.get(PATHS[0], headers=SHOWN)).status == 200
    assert desk.asked == 2


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /users/jörg-secret HTTP/1.1".encode(),
        b"GET /users/\xff-secret HTTP/1.1",
        b"GET /users/a b-secret HTTP/1.1",
        b"GET http://[secret/ HTTP/1.1",
        b"GET / HTTP/1.1\r\nsecret\xff: x",
    ],
)
async def test_what_is_no_request_is_refused_and_not_quoted_in_the_log(
    client: TestClient[Any, Any], caplog: pytest.LogCaptureFixture, request_line: bytes
) -> None:
    """It may have somebody's id in it, and nobody has shown a token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(request_line + b"\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert not re.search(rb"(?i)python|aiohttp", head), "it says which versions run"
    shown = logging.Formatter().format
    (entry,) = [shown(record) for record in caplog.records if record.name == "aiohttp.server"]
    assert entry.startswith("A client sent what is no HTTP request: ")
    assert "secret" not in entry
    assert "\n" not in entry


async def test_what_is_no_question_in_a_line_is_refused(client: TestClient[Any, Any], desk: Desk) -> None:
    """Bodies, long paths, other methods, other paths."""
    for size in (1, 1 << 20):
        answer = await client.get(PATHS[0], headers=SHOWN, data=b"x" * size)
        assert answer.status == 413
    assert (await client.get("/users/" + "x" * LONGEST_PATH, headers=SHOWN)).status == 414
    assert (await client.get("/" + "x" * 9_000)).status == 400
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await client.request(method, PATHS[0], headers=SHOWN)).status == 405
    for path in ("/users", "/users/", "/users/u1/", "/users/u1/segments/loyal/x", "/", "/users/../x"):
        assert (await client.get(path, headers=SHOWN)).status == 404, path
    assert desk.asked == 0


async def test_no_answer_may_be_kept_or_taken_for_something_else(client: TestClient[Any, Any]) -> None:
    """Refusals too; and none says which versions run."""
    for path, status in ((PATHS[0], 200), ("/users/nobody", 404), ("/nowhere", 404)):
        answer = await client.get(path, headers=SHOWN)
        assert answer.status == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
        body = await answer.text()
        assert "Traceback" not in body
        if "json" in answer.headers["Content-Type"]:
            json.loads(body)


async def test_without_a_token_set_there_are_no_such_pages() -> None:
    """Not found, like anything else that is not there."""
    client = await serve(make_app())
    try:
        assert {(await client.get(path, headers=SHOWN)).status for path in PATHS} == {404}
    finally:
        await client.close()
