"""`segstream plan`, `apply`, `history`, `diff` and `rollback` on Kafka and Redis, with a worker."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections import Counter
from typing import Any

from redis.asyncio import Redis

from tests.checker import check_everywhere, stories
from tests.deployments import Deployments
from tests.operations import segstream
from tests.workers import Scene, Worker, applied, send, track

PATIENCE = 60

BEFORE = """
version: 1
features:
  orders:  {op: count, event: Order Completed}
  revenue: {op: sum, of: properties.revenue, event: Order Completed}
segments:
  buyer:   {when: orders >= 1}
  regular: {when: orders >= 3}
  big:     {when: revenue >= 100}
"""
AFTER = """
version: 1
features:
  bought:  {op: count, event: Order Completed}
  revenue: {op: sum, of: properties.revenue, event: Order Completed}
  visits:  {op: count, type: page}
segments:
  customer: {when: bought >= 1, renamed_from: buyer}
  regular:  {when: bought >= 2}
  big:      {when: revenue >= 130}
  visitor:  {when: visits >= 1}
"""
PEOPLE = {f"u{number:04d}": number % 4 + 1 for number in range(1200)}


async def filled(deployments: Deployments) -> tuple[Scene, dict[str, str]]:
    """Return a deployment whose worker has applied everything and was stopped, and its settings."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("shop", [events], 2)
    environment = scene.environment(deployments.file("1.yaml", BEFORE))
    sent = [
        (user, track(user, "2020-01-01T00:00:00Z", f"{user}-{turn}", revenue=40.0))
        for user, count in PEOPLE.items()
        for turn in range(count)
    ]
    await send(scene, sent)
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert worker.stop() == 0
    return scene, environment


async def dumped(scene: Scene) -> dict[bytes, bytes | None]:
    """Return all that Redis holds of a deployment."""
    client: Any = Redis.from_url(scene.redis)
    try:
        keys = [key async for key in client.scan_iter(match=f"{scene.prefix}*", count=5000)]
        return {key: await client.dump(key) for key in keys}
    finally:
        await client.aclose()


async def told(environment: dict[str, str], *arguments: str) -> Any:
    """Return what a command prints as JSON."""
    ran = await segstream(environment, *arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


async def test_what_a_plan_counts_is_what_apply_then_publishes(deployments: Deployments) -> None:
    """And the plan itself changes nothing; a rollback brings everybody back, and the history says so."""
    scene, environment = await filled(deployments)
    second = str(deployments.file("2.yaml", AFTER))
    before = await dumped(scene)
    plan = await told(environment, "plan", second)
    shown = await segstream(environment, "plan", second)
    assert await dumped(scene) == before
    assert (plan["version"], plan["after_version"], plan["changed"], plan["users"]) == (2, 1, True, 1200)
    assert plan["features_from_empty"] == ["visits"]
    counts = {row["segment"]: (row["before"], row["enter"], row["leave"], row["renamed"], row["after"]) for row in plan["segments"]}  # fmt: skip
    assert counts == {
        "customer": (1200, 0, 0, 1200, 1200),
        "regular": (600, 300, 0, 0, 900),
        "big": (600, 0, 300, 0, 300),
        "visitor": (0, 0, 0, 0, 0),
    }
    assert shown.out.splitlines()[0].startswith("version 2, after version 1 by ")
    assert "  u0002 leaves big: revenue >= 130 is false, was true (revenue 120.0)" in shown.out.splitlines()

    with Worker(environment) as worker:
        answer = await segstream(
            environment, "apply", second, "--yes", "--wait", "--note", "why not", "--json"
        )
        assert answer.code == 0, answer.err
        assert answer.err.splitlines()[-2:] == [
            "2 of 2 partitions, 1,200 of 1,200 users",
            "version 2 is in force for all users",
        ]
        assert json.loads(answer.out)["plan"]["segments"] == plan["segments"]
        await applied(scene, [worker], PATIENCE)
        published = await stories(scene)
        assert moves(published, 2) == {
            (row["segment"], change): row[key]
            for row in plan["segments"]
            for change, key in (("entered", "enter"), ("exited", "leave"), ("renamed", "renamed"))
            if row[key]
        }
        members = await check_everywhere(scene, published)
        assert {name: len(users) for name, users in members.items()} == {
            row["segment"]: row["after"] for row in plan["segments"] if row["after"]
        }

        shown_user = await told(environment, "user", "u0001")
        since = {"version": 2, "effective_at": json.loads(answer.out)["effective_at"]}
        assert shown_user["state"]["features_since"] == {"visits": since}

        again = await segstream(environment, "apply", second, "--yes", "--wait")
        assert again.out.splitlines() == [
            "version 2 already: nothing differs in meaning, nothing was published",
            "version 2 is in force for all users",
        ]
        back = await segstream(environment, "rollback", "--yes", "--wait", "--author", "ada")
        assert back.code == 0, back.err
        await applied(scene, [worker], PATIENCE)
        assert worker.stop() == 0
    returned = await check_everywhere(scene, await stories(scene))
    assert returned == {
        "buyer": set(PEOPLE),
        "regular": {user for user, count in PEOPLE.items() if count >= 3},
        "big": {user for user, count in PEOPLE.items() if count >= 3},
    }
    history = await told(environment, "history")
    assert history["active"] == 3
    assert [(each["note"], each["partitions"], each["sweeping"]) for each in history["versions"]] == [
        ("first start with 1.yaml", [], []),
        ("why not", [], []),
        ("back to version 1", [0, 1], []),
    ]
    assert history["versions"][2]["author"] == "ada"
    assert history["versions"][2]["content_hash"] == history["versions"][0]["content_hash"]
    assert (await told(environment, "diff", "1", "active"))["same"]
    apart = await told(environment, "diff", "active", second)
    assert [(each["name"], each["change"]) for each in apart["differences"]] == [
        ("bought", "renamed"), ("visits", "added"),
        ("customer", "renamed"), ("regular", "changed"), ("big", "changed"), ("visitor", "added"),
    ]  # fmt: skip


def moves(published: dict[str, list[dict[str, Any]]], version: int) -> Counter[tuple[str, str]]:
    """Return how many changes of each kind there were of each segment for a version's sake."""
    return Counter(
        (change["segment"], change["change"])
        for changes in published.values()
        for change in changes
        if change["cause"] == {"type": "definition", "version": version}
    )


async def test_apply_asks_and_publishes_nothing_without_a_yes(deployments: Deployments) -> None:
    """Where there is a terminal it asks there; where there is none it says what is missing, and ends with 2."""
    scene = await deployments.scene("empty", ["nowhere"], 1)
    first = deployments.file("1.yaml", BEFORE)
    environment = scene.environment(first)
    nobody = await segstream(environment, "apply", str(first))
    assert (nobody.code, nobody.out) == (2, "")
    assert nobody.err.startswith("segstream: there is nobody to ask whether to publish;")
    assert await asked(environment, "n", "apply", str(first)) == (1, "nothing was published\n")
    assert (await told(environment, "history"))["versions"] == []
    nothing = await segstream(environment, "rollback", "--yes")
    assert (nothing.code, nothing.err) == (
        1,
        "segstream: nothing has been published yet, so there is nothing to go back to\n",
    )
    none = await segstream(environment, "diff", "active", str(first))
    assert none.err == (
        "segstream: no version is active: none has been published yet; `segstream apply` does it\n"
    )
    assert (await asked(environment, "y", "apply", str(first)))[0] == 0
    assert [each["version"] for each in (await told(environment, "history"))["versions"]] == [1]
    no_way = await segstream(environment, "rollback", "--yes")
    assert (no_way.code, no_way.err) == (
        1,
        "segstream: there is one version only, so there is none to go back to\n",
    )
    unknown = await segstream(environment, "rollback", "7", "--yes")
    assert "there is no version 7: there are 1 to 1" in unknown.err
    neither = await segstream(environment, "diff", "active", "nofile")
    assert (neither.code, neither.err) == (
        2,
        "segstream: 'nofile' is neither a file nor a version's number nor active\n",
    )


async def test_definitions_without_segments_are_published_only_if_that_is_said(
    deployments: Deployments,
) -> None:
    """Everybody would leave everything: a file cut short says so in `plan`, and `apply --yes` refuses it. To begin so is fine."""
    scene = await deployments.scene("cut", ["nowhere"], 1)
    whole = deployments.file("whole.yaml", BEFORE)
    cut = deployments.file("cut.yaml", BEFORE.partition("segments:")[0] + "segments: null\n")
    environment = scene.environment(whole)
    warning = f"warning: {cut} has no segments: everybody leaves all that they are in\n"
    for file, version in ((cut, 1), (whole, 2)):
        ran = await segstream(environment, "apply", str(file), "--yes")
        assert (ran.code, ran.out.splitlines()[-1][:10], ran.err) == (0, f"version {version},", "")
    planned = await segstream(environment, "plan", str(cut))
    assert (planned.code, planned.err) == (0, warning)
    refused = await segstream(environment, "apply", str(cut), "--yes")
    assert (refused.code, refused.err) == (
        2,
        f"{warning}segstream: nothing was published; --allow-empty says that everybody is to leave all segments\n",
    )
    assert len((await told(environment, "history"))["versions"]) == 2
    meant = await segstream(environment, "apply", str(cut), "--yes", "--allow-empty")
    assert (meant.code, meant.err) == (0, warning)
    assert len((await told(environment, "history"))["versions"]) == 3


async def asked(environment: dict[str, str], reply: str, *arguments: str) -> tuple[int | None, str]:
    """Run a command at a terminal, and answer its question; return its exit code and what stderr has behind it."""
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "segstream", *arguments),
            env=os.environ | environment,
            stdin=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        os.write(ours, f"{reply}\n".encode())
        _, heard = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert b"publish as version 1? [y/N]" in heard
        return process.returncode, heard.decode().rpartition("[y/N]: ")[2]
    finally:
        os.close(ours)
        os.close(theirs)
