"""The commands that look at a deployment, as programs, while a worker runs on a real Kafka and a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from segstream.core.partitioning import murmur2
from segstream.core.time import HOUR, parse_time
from segstream.local.ports import free_port
from tests.conftest import Topics
from tests.deployments import SHOP, Deployments, orders
from tests.workers import Scene, Worker, applied, read_all, send, track

pytestmark = pytest.mark.integration

PARTITIONS = 4
EVENTS = orders(600, seed=7, users=40)
END = parse_time("1997-03-01T00:00:00Z")
GAP_SECONDS = 30


class Shop:
    """A deployment with a worker at work, and what its consumers see.

    Parameters
    ----------
    scene : Scene
    definitions : Path
    """

    def __init__(self, scene: Scene, definitions: Path) -> None:
        self.scene, self.definitions = scene, definitions

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the variables of a command for this deployment, and no others of ours."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")}
        return others | self.scene.environment(self.definitions, clock="event", **settings)

    def run(self, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [sys.executable, "-m", "segstream", *arguments]
        return subprocess.run(
            command, env=self.environment(**settings), capture_output=True, text=True, timeout=60, check=False
        )

    def told(self, *arguments: str) -> Any:
        """Return what a command prints as JSON; it must succeed and say nothing else."""
        done = self.run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def records(self) -> list[list[dict[str, Any]]]:
        """Return the changes published, by partition."""
        found = asyncio.run(read_all(self.scene, self.scene.topic("changes")))
        return [[orjson.loads(record.value) for record in part] for part in found]


@pytest.fixture(scope="module")
def shop(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a deployment that has applied `EVENTS`; its worker still runs."""
    topics, folder = Topics(kafka), tmp_path_factory.mktemp("shop")
    deployments = Deployments(topics, redis_url, folder)

    async def begin() -> Scene:
        events = await deployments.inputs("events", partitions=PARTITIONS)
        return await deployments.scene("shop", events, PARTITIONS)

    async def end() -> None:
        await topics.delete()
        await deployments.tidy()

    scene = asyncio.run(begin())
    own = Shop(scene, deployments.file("shop.yaml", SHOP))
    try:
        with Worker(scene.environment(own.definitions, clock="event")) as worker:
            asyncio.run(send(scene, EVENTS, clock=END))
            asyncio.run(applied(scene, [worker], 60))
            yield own
            worker.stop()
    finally:
        asyncio.run(end())


def counted(user: str) -> int:
    """Return how many orders a user has sent, repeats left out."""
    return len({orjson.loads(value)["messageId"] for name, value in EVENTS if name == user})


def test_a_user_is_shown_with_the_answer_and_the_state(shop: Shop) -> None:
    """Partition, features by the definitions in force, segments as others see them, and how far the user is told."""
    user = EVENTS[0][0]
    told = shop.told("user", user)
    changes = [change for part in shop.records() for change in part if change["user_id"] == user]
    assert (told["user_id"], told["partition"], told["partitions"]) == (
        user,
        murmur2(user.encode(), PARTITIONS),
        PARTITIONS,
    )
    assert told["state"]["features"]["orders"] == counted(user)
    assert told["state"]["as_of"] == "1997-03-01T00:00:00.000Z"
    assert told["state"]["sequence"] == told["answer"]["sequence"] == len(changes)
    assert sorted(told["answer"]["segments"]) == sorted(told["state"]["segments"]) == changes[-1]["segments"]
    assert told["state"]["basis"]["definitions_version"] == 1
    text = shop.run("user", user).stdout
    assert text.startswith(f"user {user}, partition {told['partition']} of {PARTITIONS}\n")
    assert re.search(rf"^  orders +{counted(user)}$", text, re.MULTILINE)
    assert re.search(r"^  revenue_30d +[\d.]+ +exposed$", text, re.MULTILINE)
    assert re.search(r"^  rests on +definitions version 1 \(basis 1\)$", text, re.MULTILINE)


def test_a_user_nobody_knows_is_an_error_in_one_line(shop: Shop) -> None:
    """With the partition the id leads to, on stderr; the exit code is 1."""
    done = shop.run("user", "nobody", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    number = murmur2(b"nobody", PARTITIONS)
    assert done.stderr.startswith(
        f"segstream: nothing is known of user 'nobody' (partition {number} of {PARTITIONS}): "
    )
    assert done.stderr.count("\n") == 1


def test_segments_are_shown_with_sizes_and_recent_moves(shop: Shop) -> None:
    """Entries less exits are the size, since all was published within the hour; each user counts once for the share."""
    told = shop.told("segments")
    moves = Counter((change["segment"], change["change"]) for part in shop.records() for change in part)
    users = {name for name, _ in EVENTS}
    assert told["users"] == len(users)
    rows = {row["name"]: row for row in told["segments"]}
    assert list(rows) == ["big", "keen", "active", "fresh", "silent"]
    for name, row in rows.items():
        assert (row["entries"], row["exits"]) == (moves[name, "entered"], moves[name, "exited"])
        assert row["size"] == row["entries"] - row["exits"]
    assert rows["silent"]["group"] == "lifecycle"
    text = shop.run("segments").stdout.splitlines()
    assert text[0].split() == ["segment", "size", "share", "entries", "exits", "label", "group"]
    assert text[-1] == f"{len(users)} users; entries and exits of the last 1h"


def test_sizes_alone_need_no_kafka(shop: Shop) -> None:
    """A campaign engine's engineer may have no right to Kafka at all."""
    done = shop.run("segments", "--sizes", "--json", kafka=f"127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["entries"] for row in json.loads(done.stdout)["segments"]} == {None}


def test_changes_are_printed_as_they_were_published(shop: Shop) -> None:
    """As JSON byte for byte the records, in order for each user; all of them, since they are of the last hour."""
    done = shop.run("changes", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    printed, published = defaultdict(list), defaultdict(list)
    for line in done.stdout.splitlines():
        printed[json.loads(line)["user_id"]].append(json.loads(line))
    for part in shop.records():
        for change in part:
            published[change["user_id"]].append(change)
    assert printed == published
    earliest = shop.run("changes", "--json", "--from", "earliest")
    assert Counter(earliest.stdout.splitlines()) == Counter(done.stdout.splitlines())


def test_changes_are_told_in_lines_for_people(shop: Shop) -> None:
    """Who, what, why and by which cause; the reason is the segment's own, not that of the one that was left."""
    lines = shop.run("changes").stdout.splitlines()
    assert len(lines) == sum(len(part) for part in shop.records())
    entered = [line for line in lines if " entered silent: " in line]
    assert entered
    assert all(
        re.fullmatch(r"u\d{4} entered silent: since\(last_order\) > 10d, by (timer|event)", line)
        for line in entered
    )


def test_changes_can_be_narrowed_down(shop: Shop) -> None:
    """To one user, to one segment, to so many; from now on there are none."""
    user = EVENTS[0][0]
    own = [json.loads(line) for line in shop.run("changes", "--user", user, "--json").stdout.splitlines()]
    assert own
    assert {change["user_id"] for change in own} == {user}
    assert [change["sequence"] for change in own] == list(range(1, len(own) + 1))
    big = shop.run("changes", "--segment", "big", "--json")
    assert ({json.loads(line)["segment"] for line in big.stdout.splitlines()}, big.stderr) == ({"big"}, "")
    assert len(shop.run("changes", "--limit", "3").stdout.splitlines()) == 3
    assert shop.run("changes", "--from", "latest").stdout == ""


@pytest.mark.parametrize(
    "begin",
    [
        ("changes", "--since", "99999w"),
        ("changes", "--from", "1900-01-01"),
        ("segments", "--since", "99999w"),
    ],
)
def test_a_beginning_before_1970_is_the_beginning(shop: Shop, begin: tuple[str, ...]) -> None:
    """Kafka's times begin there; somebody who writes so wants everything."""
    command, *_ = begin
    whole = (command, "--from", "earliest") if command == "changes" else (command, "--since", "1000w")
    found, all_of_it = shop.run(*begin, "--json"), shop.run(*whole, "--json")
    assert (found.returncode, found.stderr) == (0, "")
    lines = [
        sorted(line for line in each.stdout.splitlines() if '"since"' not in line)
        for each in (found, all_of_it)
    ]
    assert lines[0] == lines[1] != []


def test_a_segment_that_never_was_is_said_not_to_be(shop: Shop) -> None:
    """Nothing would be printed otherwise; without Redis that cannot be told, and the changes come all the same."""
    typo = shop.run("changes", "--segment", "silnt")
    assert (typo.returncode, typo.stdout, typo.stderr) == (
        0,
        "",
        "warning: no version of the definitions has a segment 'silnt'; did you mean 'silent'?\n",
    )
    there = shop.run("changes", "--segment", "big", "--json")
    blind = shop.run("changes", "--segment", "big", "--json", redis=f"redis://127.0.0.1:{free_port()}")
    assert blind.stderr.startswith("warning: cannot tell whether there is a segment 'big': ")
    assert sorted(blind.stdout.splitlines()) == sorted(there.stdout.splitlines()) != []
    now = shop.run("changes", "--from", "2100-01-01")
    assert (now.returncode, now.stdout, now.stderr) == (
        0,
        "",
        "no change that fits was published since 2100-01-01T00:00:00.000Z; --from earliest looks further back\n",
    )
    nobody = shop.run("changes", "--user", "nobody", "--from", "earliest")
    assert (nobody.returncode, nobody.stderr) == (0, "no change that fits was published\n")


def test_changes_are_followed_until_ctrl_c(shop: Shop) -> None:
    """What is published later is printed within moments; Ctrl-C ends it quietly with 130."""
    user = f"new-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "segstream", "changes", "--follow", "--from", "earliest", "--json"]
    with subprocess.Popen(
        command, env=shop.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            for _ in range(sum(len(part) for part in shop.records())):
                process.stdout.readline()
            at = "1997-03-01T00:00:00.000Z"
            asyncio.run(send(shop.scene, [(user, track(user, at, user, revenue=200))], clock=END + HOUR))
            deadline = time.monotonic() + GAP_SECONDS
            while user not in process.stdout.readline():
                assert time.monotonic() < deadline, "the new user's change was not printed"
            process.send_signal(signal.SIGINT)
            assert process.wait(GAP_SECONDS) == 130
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_a_listener_that_goes_away_ends_it_quietly(shop: Shop) -> None:
    """`segstream changes --json | head -1` closes the pipe in the middle: no traceback, nothing on stderr."""
    command = [sys.executable, "-m", "segstream", "changes", "--json"]
    with subprocess.Popen(
        command, env=shop.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(GAP_SECONDS) == 1
        assert process.stderr.read() == ""


def test_topics_that_are_right_pass_the_check(shop: Shop) -> None:
    """Partitions, compaction, whose time it is; how long records are kept is shown."""
    told = shop.told("topics", "--check")
    assert (told["valid"], told["created"], told["differences"], told["warnings"]) == (True, [], [], [])
    events = told["topics"][shop.scene.events[0]]
    assert events["partitions"] == PARTITIONS
    assert events["settings"]["message.timestamp.type"] == "LogAppendTime"
    assert told["topics"][shop.scene.topic("memberships")]["settings"]["cleanup.policy"] == "compact"
    text = shop.run("topics", "--check").stdout
    assert re.search(
        rf"^{shop.scene.topic('memberships')} +4 +1 +compact +LogAppendTime +\S+", text, re.MULTILINE
    )


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_another_number_of_partitions_is_no_success(shop: Shop, check: tuple[str, ...]) -> None:
    """Asked for 8 where there are 4: all that differ are named, with what to do, and the exit code is 1."""
    done = shop.run("topics", "--partitions", "8", *check)
    assert done.returncode == 1
    line, count = done.stderr.splitlines()
    assert shop.scene.topic("memberships") in line
    assert ": partitions is 4, not 8; " in line
    assert "go on with the one there is" in line
    assert count == "6 differences"


def test_missing_topics_are_named_and_then_created_with_as_many_partitions(shop: Shop) -> None:
    """The check creates nothing; creating takes the number from what is there, unless it would make a mess."""
    names = {f"topic_{name}": shop.scene.topic(f"other-{name}") for name in ("changes", "memberships")}
    checked = shop.run("topics", "--check", **names)
    assert checked.returncode == 1
    assert (
        f"{names['topic_changes']}, {names['topic_memberships']}: missing, or not to be seen"
        in checked.stderr
    )
    refused = shop.run("topics", "--partitions", "8", **names)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "segstream: nothing was created: all must have the same number of partitions"
    )
    try:
        made = shop.run("topics", "--json", **names)
        assert (made.returncode, made.stderr) == (0, "")
        told = json.loads(made.stdout)
        assert sorted(told["created"]) == sorted(names.values())
        assert {told["topics"][name]["partitions"] for name in names.values()} == {PARTITIONS}
        assert told["valid"] is True
    finally:
        asyncio.run(_delete(shop.scene.kafka, [*names.values()]))


async def _delete(kafka: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("arguments", "setting", "told"),
    [
        (("topics", "--check"), "kafka", "Kafka at 127.0.0.1:"),
        (("changes",), "kafka", "Kafka at 127.0.0.1:"),
        (("segments",), "kafka", "Kafka at 127.0.0.1:"),
        (("segments",), "redis", "Redis at 127.0.0.1:"),
        (("user", "u0001"), "redis", "Redis at 127.0.0.1:"),
        (("explain", "u0001"), "redis", "Redis at 127.0.0.1:"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(
    shop: Shop, arguments: tuple[str, ...], setting: str, told: str
) -> None:
    """What was done, where, and what to check; nothing on stdout, no traceback."""
    nowhere = f"127.0.0.1:{free_port()}"
    done = shop.run(*arguments, **{setting: f"redis://{nowhere}/0" if setting == "redis" else nowhere})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"segstream: {told}")
    assert f"SEGSTREAM_{setting.upper()}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_topic_of_changes_that_is_missing_is_one_line(shop: Shop) -> None:
    """With the command that tells more; and it is not created by asking for it."""
    name = shop.scene.topic("nowhere")
    for command in ("changes", "segments"):
        done = shop.run(command, topic_changes=name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"segstream: topic {name} is missing, or not to be seen by this client; `segstream topics --check` tells more\n"
        )
    assert name in shop.run("topics", "--check", topic_changes=name).stderr


def test_another_prefix_is_said_to_hold_nothing(shop: Shop) -> None:
    """Where no worker has written, an empty answer would be misleading."""
    for arguments in (("user", "u0001"), ("segments",)):
        done = shop.run(*arguments, segments_prefix=f"{shop.scene.prefix}other")
        assert (done.returncode, done.stdout) == (1, "")
        assert "there is no " in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_servers_run_until_told_to_end_and_leave_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The variables it prints lead to both servers, with all topics; afterwards no process and no file is left."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")}
    command = [sys.executable, "-m", "segstream", "local", "--partitions", "3", "--json"]
    with subprocess.Popen(
        command,
        env=others | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            variables = json.loads(process.stdout.readline())["environment"]
            done = subprocess.run(
                [sys.executable, "-m", "segstream", "topics", "--check", "--json"],
                env=others | variables,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            counts = Counter(topic["partitions"] for topic in json.loads(done.stdout)["topics"].values())
            assert counts == {3: 6, 1: 1}
            with Redis.from_url(variables["SEGSTREAM_REDIS"]) as client:
                server = int(client.info()["process_id"])
            process.send_signal(number)
            assert process.wait(GAP_SECONDS) == 0
        finally:
            process.terminate()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    assert list(tmp_path.iterdir()) == []


def test_an_explanation_agrees_with_what_others_see(shop: Shop) -> None:
    """For users with many orders and with few: in the same segments, since the same moments; Kafka is not asked."""
    nowhere = f"127.0.0.1:{free_port()}"
    for user in {EVENTS[0][0], EVENTS[1][0], EVENTS[-1][0]}:
        done = shop.run("explain", user, "--json", kafka=nowhere)
        assert (done.returncode, done.stderr) == (0, "")
        told, known = json.loads(done.stdout), shop.told("user", user)
        assert [each["segment"] for each in told["segments"]] == ["big", "keen", "fresh", "active", "silent"]
        assert {each["segment"]: each["since"] for each in told["segments"] if each["member"]} == {
            name: stay["since"] for name, stay in known["answer"]["segments"].items()
        }
        assert {each["until"] for each in told["segments"] if each["member"]} >= {
            stay["expires_at"] for stay in known["answer"]["segments"].values() if stay["expires_at"]
        }
        assert (told["partition"], told["definitions_version"]) == (known["partition"], 1)
        assert told["as_of"] == known["state"]["as_of"]


def test_one_segment_is_explained_part_by_part(shop: Shop) -> None:
    """The truth of the whole, the values with their bounds, what would change it, the group, what holds it back."""
    user = EVENTS[0][0]
    told = shop.told("explain", user, "active")
    features = shop.told("user", user)["state"]["features"]
    assert told["when"]["kind"] == "and"
    orders_part, age = told["when"]["parts"]
    assert (orders_part["truth"], orders_part["value"]) == (features["orders"] >= 2, features["orders"])
    assert (age["condition"], age["threshold"]) == ("since(last_order) <= 10d", "10d")
    assert told["when"]["truth"] is (orders_part["truth"] and age["truth"])
    assert [each["segment"] for each in told["group_order"]] == ["fresh", "active", "silent"]
    text = shop.run("explain", user, "silent").stdout.splitlines()
    assert text[0].startswith(f"user {user} is ")
    assert " silent as of 1997-03-01T" in text[0]
    assert text[1].startswith("because ")
    assert any(line.startswith("anti-flap (min_dwell 1d): ") for line in text)
    assert any(re.match(r"    (true|false) by an Order Completed$", line) for line in text) or any(
        "without an Order Completed" in line for line in text
    )


def test_an_explanation_looks_ahead_and_changes_nothing(shop: Shop) -> None:
    """A hundred days on everybody is silent, and what is stored stays as it was."""
    user = EVENTS[0][0]
    client = Redis.from_url(shop.scene.redis)
    try:
        names = sorted(client.scan_iter(match=f"{shop.scene.prefix}*:user:*", count=5000))
        before = [
            client.dump(name) if client.type(name) == b"string" else client.hgetall(name) for name in names
        ]
        done = shop.run("explain", user, "silent", "--at", "1997-06-09", "--json")
        after = [
            client.dump(name) if client.type(name) == b"string" else client.hgetall(name) for name in names
        ]
    finally:
        client.close()
    told = json.loads(done.stdout)
    assert (told["member"], told["until"], told["as_of"]) == (True, None, "1997-06-09T00:00:00.000Z")
    assert names
    assert before == after


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("0001",), "nothing is known of user '0001' (partition "),
        (("u0001", "activ"), "definitions version 1 has no segment 'activ'; did you mean 'active'?"),
        (
            ("u0001", "active", "--at", "1990-01-01"),
            "--at: 1990-01-01T00:00:00.000Z is before the last decision, at ",
        ),
    ],
)
def test_what_cannot_be_explained_is_one_line(shop: Shop, arguments: tuple[str, ...], told: str) -> None:
    """With the nearest name there is; the exit code is 1."""
    done = shop.run("explain", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"segstream: {told}")
    assert done.stderr.count("\n") == 1
    if "--at" in arguments:
        assert done.stderr.endswith("is told by `segstream changes --user u0001 --from earliest`\n")


def test_a_user_with_a_typing_error_is_found(shop: Shop) -> None:
    """One in another case, one whose last letter is wrong."""
    for typed in ("U0001", "u000I"):
        done = shop.run("explain", typed)
        assert done.returncode == 1
        assert re.search(r"; did you mean 'u00\d\d'\?$", done.stderr.strip())
