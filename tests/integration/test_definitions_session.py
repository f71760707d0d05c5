"""What somebody does who changes definitions: real purchases on Apache Kafka and Redis, and two workers running.

Every step is a command as it would be typed, and each is held against what the others and the consumers see.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from segstream.demo.purchases import END, load_purchases
from tests.checker import Stories, check_everywhere, stories
from tests.deployments import Deployments
from tests.operations import Ran, segstream
from tests.workers import Scene, Worker, applied, send

DEMO: Final = Path(__file__).parents[2] / "worker/segstream/demo/definitions.yaml"
PARTITIONS: Final = 4
PATIENCE: Final = 120
SHARE: Final = 20
"""Of so many customers the purchases of one are taken, of 23,570 in all."""


def versions() -> tuple[str, str]:
    """Return the demo's definitions without what a model finds, and what somebody makes of them."""
    first = DEMO.read_text(encoding="utf-8").partition("# Segments nobody defined")[0]
    second = (
        first.replace("revenue_365d >= 500", "revenue_365d >= 450")
        .replace("  big_baskets:\n", "  large_baskets:\n    renamed_from: big_baskets\n")
        .replace("orders >= 5 and", "orders >= 4 and")
        .replace(
            "  last_order:    {op: last_time, event: Order Completed}\n",
            "  last_order:    {op: last_time, event: Order Completed}\n"
            "  coupons:       {op: count, event: Coupon Entered}\n",
        )
        .replace("groups:\n", "  bargain_hunter: {when: coupons >= 2, label: Bargain hunter}\ngroups:\n")
    )
    return first, second


class Session:
    """A deployment, and somebody at a terminal.

    Parameters
    ----------
    scene : Scene
    environment : dict of str to str
        The settings.
    """

    def __init__(self, scene: Scene, environment: dict[str, str]) -> None:
        self.scene, self.environment = scene, environment

    async def run(self, *words: str) -> Ran:
        """Run a command that succeeds."""
        ran = await segstream(self.environment, *words, seconds=PATIENCE)
        assert ran.code == 0, ran.err + ran.out
        return ran

    async def told(self, *words: str) -> Any:
        """Return what a command prints as JSON."""
        return json.loads((await self.run(*words, "--json")).out)

    async def sizes(self, told: Stories) -> dict[str, int]:
        """Return how many members segments have, the same wherever one looks."""
        return {name: len(users) for name, users in (await check_everywhere(self.scene, told)).items()}


def expected(plan: dict[str, Any]) -> dict[str, int]:
    """Return the sizes that a plan foretells."""
    return {row["segment"]: row["after"] for row in plan["segments"] if row["after"]}


def published(told: Stories, version: int) -> Counter[tuple[str, str]]:
    """Return how many changes of each kind there were of each segment for a version's sake."""
    cause = {"type": "definition", "version": version}
    return Counter(
        (change["segment"], change["change"])
        for changes in told.values()
        for change in changes
        if change["cause"] == cause
    )


def foretold(plan: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Return the same of what a plan says."""
    kinds = (("entered", "enter"), ("exited", "leave"), ("renamed", "renamed"))
    return Counter(
        {(row["segment"], change): row[key] for row in plan["segments"] for change, key in kinds if row[key]}
    )


@pytest.mark.timeout(400)
async def test_definitions_are_changed_checked_and_taken_back_while_two_workers_run(
    deployments: Deployments,
) -> None:
    """`plan`, `apply`, `history`, `diff`, `verify`, `explain` and `rollback` agree with each other and with the topics."""
    (events,) = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("shop", [events], PARTITIONS)
    shop, more = versions()
    first, second = deployments.file("shop.yaml", shop), deployments.file("more.yaml", more)
    session = Session(scene, scene.environment(first, clock="event"))
    purchases = load_purchases()
    customers = set(sorted({entry.key for entry in purchases})[::SHARE])
    entries = [(entry.key, entry.value) for entry in purchases if entry.key in customers]
    with Worker(session.environment) as one, Worker(session.environment) as two:
        await shared(one, two)
        await send(scene, entries, clock=END)
        await applied(scene, [one, two], PATIENCE)
        before = await session.sizes(await stories(scene))

        plan = await planned(session, second, before)
        assert plan["users"] == len(customers)

        done = await session.run("apply", str(second), "--yes", "--wait", "--note", "high value from 450 on")
        assert "version 2, in force at once" in done.out.splitlines()
        await applied(scene, [one, two], PATIENCE)
        told = await stories(scene)
        assert published(told, 2) == foretold(plan)
        assert await session.sizes(told) == expected(plan)

        await looked_back_at(session)
        checked = await session.told("verify")
        assert checked["equal"]
        assert (checked["total"]["users"], checked["total"]["events"]) == (len(customers), len(entries))
        await explained(session, told)

        back = await session.told("plan", str(first))
        await session.run("rollback", "--yes", "--wait", "--author", "ana")
        await applied(scene, [one, two], PATIENCE)
        told = await stories(scene)
        assert published(told, 3) == foretold(back)
        # Whoever has entered high_value from 450 on stays until it is less than 400: nobody else is anywhere else.
        after = await session.sizes(told)
        assert after == expected(back)
        assert {**after, "high_value": 0} == {**before, "high_value": 0}
        assert after["high_value"] > before["high_value"]
        last = (await session.told("history"))["versions"][-1]
        assert (last["author"], last["note"]) == ("ana", "back to version 1")

        assert share(one) ^ share(two) == set(range(PARTITIONS))
        assert (one.stop(), two.stop()) == (0, 0)


async def planned(session: Session, file: Path, before: dict[str, int]) -> dict[str, Any]:
    """Ask what a file would change, given the sizes now; nothing changes by that."""
    plan: dict[str, Any] = await session.told("plan", str(file))
    assert plan["version"] == 2
    assert plan["features_from_empty"] == ["coupons"]
    rows = {row["segment"]: row for row in plan["segments"]}
    same = before.keys() - {"big_baskets"}
    assert {name: rows[name]["before"] for name in same} == {name: before[name] for name in same}
    assert rows["high_value"]["enter"] > 0
    assert rows["large_baskets"]["renamed"] == before["big_baskets"]
    shown = (await session.run("plan", str(file), "--sample", "1")).out.splitlines()
    assert "  ~ segment high_value changed" in shown
    assert any(line.endswith(f" of {plan['users']:,} users are told of a change") for line in shown)
    assert await session.sizes(await stories(session.scene)) == before
    return plan


async def looked_back_at(session: Session) -> None:
    """Ask who changed what."""
    history = await session.told("history")
    assert [(each["version"], each["partitions"]) for each in history["versions"]] == [
        (1, []),
        (2, list(range(PARTITIONS))),
    ]
    assert history["versions"][1]["note"] == "high value from 450 on"
    differences = (await session.told("diff", "1", "active"))["differences"]
    assert {(each["name"], each["change"]) for each in differences} == {
        ("coupons", "added"), ("bargain_hunter", "added"), ("high_value", "changed"), ("loyal", "changed"),
        ("large_baskets", "renamed"),
    }  # fmt: skip


async def explained(session: Session, told: Stories) -> None:
    """Ask why somebody is in a segment now who was not before."""
    user = next(
        name
        for name, changes in told.items()
        for change in changes
        if change["cause"] == {"type": "definition", "version": 2} and change["segment"] == "high_value"
    )
    why = (await session.run("explain", user, "high_value")).out
    assert why.startswith(f"user {user} is in high_value (High value) as of ")
    assert why.splitlines()[0].endswith(", by definitions version 2")
    assert re.search(r"  true.*: revenue_365d >= 450 \(revenue_365d is 4\d\d", why)


def share(worker: Worker) -> set[int]:
    """Return the partitions that a worker was given last, by its log."""
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    given = [line["partitions"] for line in lines if line.get("event") == "assigned"]
    return set(given[-1]) if given else set()


async def shared(one: Worker, two: Worker) -> None:
    """Wait until each of two workers has some of the partitions, and they have all together."""
    async with asyncio.timeout(PATIENCE):
        while not (share(one) and share(two) and share(one) ^ share(two) == set(range(PARTITIONS))):
            assert one.running, one.log[-3000:]
            assert two.running, two.log[-3000:]
            await asyncio.sleep(0.2)
