"""What the flow tells, by example, over the in-memory Kafka and Redis."""

from __future__ import annotations

import json

import orjson
import pytest

from segstream.core.clusters import Snapshot
from segstream.core.time import DAY, NEVER, format_time, parse_time
from segstream.errors import Fenced
from segstream.library import Library, Version
from segstream.upkeep import adopt_models, drain
from segstream_schemas import Change
from segstream_schemas.changes import change_id
from segstream_schemas.times import LATEST
from tests.unit.flow.worlds import (
    START,
    Crash,
    World,
    clock_record,
    compiled,
    feed,
    finish,
    play_at_once,
    record,
    track,
)

SHOP = """
version: 1
features:
  orders: {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
segments:
  active: {when: "since(last_order) <= 60d"}
  at_risk: {when: "orders >= 2 and since(last_order) > 60d"}
groups:
  lifecycle: {first_of: [active, at_risk]}
"""
BUYERS = """
version: 1
features:
  orders: {op: count, event: Order Completed, expose: true}
segments:
  buyer: {when: "orders >= 1"}
"""
LOYAL = """
version: 1
features:
  bought: {op: count, event: Order Completed}
  visits: {op: count, type: page}
segments:
  loyal: {when: "bought >= 2"}
  visitor: {when: "visits >= 1"}
"""
FOUND = """
version: 1
features: {orders: {op: count, event: Order Completed}}
discovered: {behaviour: {model: kmeans, clusters: 2, features: [orders]}}
"""


def order(user: str, at: int, message: str | None = None) -> dict[str, object]:
    """Return an order."""
    return track(user, "Order Completed", at, message)


def behaviour(number: int, *centers: float) -> Snapshot:
    """Return a snapshot with clusters around numbers of orders."""
    return Snapshot(
        name="behaviour",
        number=number,
        features=("orders",),
        transforms=("linear",),
        means=(0.0,),
        scales=(1.0,),
        centers=tuple((center,) for center in centers),
        ids=tuple(f"c{index}" for index in range(len(centers))),
    )


async def test_at_risk_is_entered_by_silence_alone_and_told_as_the_contract_says() -> None:
    """Promises 3 and 5: the very record of the contract, fields in its order, at 60 days and a millisecond."""
    bought = parse_time("1997-04-12T00:00:00Z")
    world = World([(0, SHOP)])
    world.now = parse_time("1997-06-11T00:00:00.020Z")
    records = [
        record(0, bought - DAY, order("00042", bought - DAY)),
        record(1, bought, order("00042", bought)),
    ]
    await play_at_once(world, records, bought + 61 * DAY)
    told = world.log.consumers_view("segment-changes", 0)[-1]
    turned, condition = "1997-06-11T00:00:00.001Z", "orders >= 2 and since(last_order) > 60d"
    active = "since(last_order) <= 60d"
    age = {"before": "60d", "after": "60d1ms"}
    expected = {
        "schema_version": 1,
        "id": change_id("00042", 1, 3),
        "user_id": "00042",
        "incarnation": 1,
        "sequence": 3,
        "segment": "at_risk",
        "kind": "rule",
        "group": "lifecycle",
        "change": "entered",
        "previous": "active",
        "at": turned,
        "processed_at": "1997-06-11T00:00:00.020Z",
        "expires_at": None,
        "cause": {"type": "timer", "due": turned},
        "reasons": [
            {"condition": active, "before": True, "after": False, "inputs": {"since(last_order)": age}},
            {
                "condition": condition,
                "before": False,
                "after": True,
                "inputs": {"orders": {"before": 2, "after": 2}, "since(last_order)": age},
            },
        ],
        "segments": ["at_risk"],
        "definitions_version": 1,
        "model_version": {},
    }
    assert told.key == b"00042"
    assert told.value == orjson.dumps(expected)
    assert Change.model_validate_json(told.value).model_dump_json().encode() == told.value


async def test_the_end_of_a_membership_is_told_when_it_begins() -> None:
    """``expires_at`` is exact, in the change, the compacted topic and the read model."""
    world = World([(0, SHOP)])
    await play_at_once(world, [record(0, START, order("u1", START))], START + 1)
    ends = format_time(START + 60 * DAY + 1)
    assert world.changes()[0]["expires_at"] == ends
    assert world.memberships()["u1"]["segments"]["active"] == {
        "since": format_time(START),
        "expires_at": ends,
    }
    assert json.loads(world.read_model.answer("u1")["s:active"])["expires_at"] == ends


async def test_a_user_who_left_everything_has_a_tombstone() -> None:
    """Compaction forgets users without segments."""
    world = World(
        [(0, "version: 1\nfeatures: {last: {op: last_time}}\nsegments: {new: {when: since(last) < 1s}}\n")]
    )
    await play_at_once(world, [record(0, START, order("u1", START))], START + 5_000)
    assert [change["change"] for change in world.changes()] == ["entered", "exited"]
    assert world.memberships() == {}
    assert [each.value for each in world.log.consumers_view("segment-memberships", 0)][-1] is None


async def test_bad_records_become_dead_letters_and_the_partition_goes_on() -> None:
    """They leave through the outbox like everything else, in log order, once."""
    world = World([(0, BUYERS)])
    records = [
        record(0, START, b"hello"),
        record(1, START, order("u1", START)),
        record(2, START, {"type": "page"}),
        record(3, START, order("u1", START + 10**9)),
    ]
    flow = await play_at_once(world, records, START + 1)
    assert [(letter["offset"], letter["reason"]) for letter in world.letters()] == [
        (0, "not_json"),
        (2, "no_user"),
        (3, "future_timestamp"),
    ]
    assert [change["segment"] for change in world.changes()] == ["buyer"]
    assert (flow.partition.meta.offsets, flow.partition.counts.dead_letters) == ({"events": 3}, 3)


async def test_a_misplaced_user_is_never_applied_there() -> None:
    """A user in two partitions would be two users: of two, ada belongs to 1 and bob to 0; see test_rerouting."""
    world = World([(0, BUYERS)], {"partitions": 2})
    await play_at_once(
        world, [record(0, START, order("ada", START)), record(1, START, order("bob", START))], None
    )
    assert [each.key for each in world.log.consumers_view("segstream-rerouted", 1)] == [b"ada"]
    assert world.users().keys() == {"bob"}


async def test_a_message_that_comes_again_is_dropped() -> None:
    """The same message id of the same user within 32 events; of another user it is another message."""
    world = World([(0, BUYERS)])
    records = [
        record(0, START, order("u1", START, "m1")),
        record(1, START + 1, order("u1", START, "m1")),
        record(2, START + 2, order("u2", START, "m1")),
    ]
    flow = await play_at_once(world, records, START + 10)
    assert (flow.partition.counts.events, flow.partition.counts.repeats) == (2, 1)
    assert world.read_model.answer("u1")["f:orders"] == "1"


async def test_the_thirty_third_message_back_is_not_remembered() -> None:
    """The memory of message ids is bounded."""
    world = World([(0, BUYERS)])
    records = [record(offset, START, order("u1", START, f"m{offset % 33}")) for offset in range(34)]
    assert (await play_at_once(world, records, START + 1)).partition.counts.repeats == 0
    again = [record(34, START, order("u1", START, "m2"))]
    flow = await play_at_once(world, again, START + 1)
    assert flow.partition.counts.repeats == 1


async def test_a_late_event_is_not_decided_before_the_last_decision() -> None:
    """What has been told is never taken back: its change is told at the moment of the last decision."""
    world = World([(0, SHOP)])
    records = [record(0, START, track("u1", "Visit", START)), record(1, START + 5, order("u1", START - 9))]
    await play_at_once(world, records, START + 10)
    assert world.changes()[0]["at"] == format_time(START)
    assert world.changes()[0]["expires_at"] == format_time(START - 9 + 60 * DAY + 1)


async def test_looking_in_vain_changes_no_result() -> None:
    """A wake-up that finds nothing changed is counted, and a late event is decided as if it had not been."""
    text = (
        "version: 1\nfeatures: {a: {op: last_time, event: A}, b: {op: count, event: B}}\n"
        "segments: {nobody: {when: since(a) < 5ms, leave_when: since(a) < 20ms}, busy: {when: b >= 1}}\n"
    )
    world = World([(0, text)])
    flow = await world.owner()
    await feed(flow, [record(0, START, track("u1", "A", START))])
    flow.partition.advance_clock(START + 100)
    await drain(flow.partition)
    assert (flow.partition.counts.wake_ups, flow.partition.counts.idle_wake_ups) == (1, 1)
    await feed(flow, [record(1, START + 100, track("u1", "B", START + 3))])
    await finish(flow, None)
    assert [(change["segment"], change["at"]) for change in world.changes()] == [
        ("busy", format_time(START + 3))
    ]


async def test_events_of_one_moment_come_before_timers() -> None:
    """An order exactly when at_risk would begin keeps the user active; a millisecond later it does not."""
    turns = START + 60 * DAY + 1
    for at, moves in ((turns, ["active"]), (turns + 1, ["active", "active", "at_risk", "at_risk", "active"])):
        world = World([(0, SHOP)])
        records = [record(offset, START, order("u1", START)) for offset in range(2)]
        await play_at_once(world, [*records, record(2, at, order("u1", at))], at + 1)
        assert [change["segment"] for change in world.changes()] == moves


async def test_a_timer_that_follows_another_does_not_overtake_an_event_of_its_moment() -> None:
    """Two timers lie before an event, or one and one at its very moment: that one is for the event to decide."""
    text = (
        "version: 1\nfeatures: {t: {op: last_time}}\n"
        "segments: {quiet: {when: since(t) >= 10ms}, silent: {when: since(t) >= 20ms}}\n"
    )
    for at, segments in ((20, ["quiet", "quiet"]), (21, ["quiet", "silent", "quiet", "silent"])):
        world = World([(0, text)])
        records = [
            record(offset, START + moment, track("u1", "A", START + moment))
            for offset, moment in enumerate((0, at))
        ]
        await play_at_once(world, records, None)
        assert [change["segment"] for change in world.changes()] == segments


async def test_new_definitions_come_into_force_in_the_middle_of_a_batch() -> None:
    """Promise 4: each record is decided by the version of its time, and everybody is swept, event or not."""
    adopted = START + 10
    world = World([(0, BUYERS), (adopted, LOYAL)])
    visit = {"type": "page", "userId": "u2", "timestamp": format_time(START + 2)}
    records = [
        record(0, START, order("u1", START)),
        record(1, START + 1, order("u3", START + 1)),
        record(2, START + 2, visit),
        record(3, START + 9, order("u3", START + 9)),
        record(4, START + 10, {**visit, "timestamp": format_time(START + 10)}),
        record(5, START + 12, order("u1", START + 12)),
    ]
    flow = await play_at_once(world, records, START + 20)
    told = [
        (
            each["user_id"],
            each["change"],
            each["segment"],
            parse_time(each["at"]) - START,
            each["cause"]["type"],
        )
        for each in sorted(world.changes(), key=lambda each: (each["user_id"], each["sequence"]))
    ]
    assert told == [
        ("u1", "entered", "buyer", 0, "event"),
        ("u1", "exited", "buyer", 10, "definition"),
        # Orders are counted on under another name, visits begin at the adoption.
        ("u1", "entered", "loyal", 12, "event"),
        ("u2", "entered", "visitor", 10, "event"),
        ("u3", "entered", "buyer", 1, "event"),
        ("u3", "exited", "buyer", 10, "definition"),
        ("u3", "entered", "loyal", 10, "definition"),
    ]
    changes = {(each["user_id"], each["segment"], each["change"]): each for each in world.changes()}
    assert changes["u3", "loyal", "entered"]["cause"] == {"type": "definition", "version": 2}
    assert changes["u3", "loyal", "entered"]["definitions_version"] == 2
    assert changes["u3", "buyer", "entered"]["definitions_version"] == 1
    assert len(flow.partition.bases) == 1, "nobody rests on the first version any more"


async def test_versions_that_came_into_force_during_an_outage_are_adopted_each_at_its_moment() -> None:
    """Promise 7: a worker that was stopped tells what it would have told live."""
    versions = [(0, BUYERS), (START + 10, LOYAL), (START + 20, BUYERS)]
    records = [record(0, START, order("u1", START)), record(1, START, order("u1", START))]
    world = World(versions)
    await play_at_once(world, [*records, record(2, START + 30, order("u2", START + 30))], START + 40)
    moments = [parse_time(each["at"]) - START for each in world.changes() if each["user_id"] == "u1"]
    assert moments == [0, 10, 10, 20, 20]


async def test_a_new_snapshot_moves_everybody() -> None:
    """Each user is in the newest segments without another event; the change names the snapshot."""
    world = World([(0, FOUND)])
    flow = await world.owner()
    await feed(flow, [record(0, START, order("u1", START)), record(1, START, order("u2", START))])
    await finish(flow, None)
    assert world.changes() == []
    for number, centers in ((1, (1.0, 9.0)), (2, (9.0, 1.0))):
        world.library.add_snapshot(behaviour(number, *centers))
        assert await adopt_models(flow.partition)
        await finish(flow, START + 10 * number)
    for user in ("u1", "u2"):
        told = [each for each in world.changes() if each["user_id"] == user]
        assert [(each["change"], each["segment"]) for each in told] == [
            ("entered", "behaviour.c0"),
            ("exited", "behaviour.c0"),
            ("entered", "behaviour.c1"),
        ]
        assert told[2]["cause"] == {"type": "model", "version": 2}
        assert (told[2]["kind"], told[2]["previous"]) == ("discovered", "behaviour.c0")
        assert told[2]["model_version"] == {"behaviour": 2}
    assert not await adopt_models(flow.partition)


@pytest.mark.parametrize("moved", [False, True], ids=["stays", "moves"])
async def test_nobody_leaves_what_a_model_found_because_its_snapshot_is_not_kept(*, moved: bool) -> None:
    """A partition that missed all snapshots kept tells only what the next one changes, not a leaving and an entering."""
    text = FOUND + "segments: {frequent: {when: \"in_segment('behaviour.c0')\"}}\n"
    world = World([(0, text)], snapshots=[behaviour(1, 1.0, 9.0)])
    flow = await world.owner()
    await feed(flow, [record(0, START, order("u1", START)), record(1, START, order("u2", START))])
    await finish(flow, None)
    before = world.changes()
    assert {each["segment"] for each in before} == {"behaviour.c0", "frequent"}
    world.library = Library()  # another worker's, of which the 20 snapshots kept are read
    world.library.add_version(Version(1, 0, compiled(text)))
    for number in range(21, 41):
        world.library.add_snapshot(behaviour(number, *((9.0, 1.0) if moved else (1.0, 9.0))))
    flow = await world.owner()
    await feed(
        flow, [record(2, START + 1, order("u1", START + 1)), record(3, START + 1, order("u3", START + 1))]
    )
    await finish(flow, START + 2)
    assert world.changes() == before, (
        "and who is new is not put anywhere until there is a snapshot to say where"
    )
    assert await adopt_models(flow.partition)
    await finish(flow, START + 3)
    told = [(each["user_id"], each["change"], each["segment"]) for each in world.changes()[len(before) :]]
    stays = [("entered", "behaviour.c0"), ("entered", "frequent")]
    moves = [("exited", "behaviour.c0"), ("entered", "behaviour.c1"), ("exited", "frequent")]
    assert [each[1:] for each in told if each[0] in {"u1", "u2"}] == (2 * moves if moved else [])
    assert [each[1:] for each in told if each[0] == "u3"] == (moves[1:2] if moved else stays)
    assert all(
        each["cause"] == {"type": "model", "version": 40} and each["model_version"] == {"behaviour": 40}
        for each in world.changes()[len(before) :]
    )


async def test_a_model_that_the_definitions_drop_is_left_although_its_snapshot_is_not_kept() -> None:
    """Only a missing snapshot holds a membership: what nobody defines any more ends with the version that says so."""
    world = World([(0, FOUND)], snapshots=[behaviour(1, 1.0, 9.0)])
    flow = await world.owner()
    await feed(flow, [record(0, START, order("u1", START))])
    await finish(flow, None)
    world.library = Library()
    world.library.add_version(Version(1, 0, compiled(FOUND)))
    world.library.add_version(Version(2, START + 1, compiled(BUYERS)))
    flow = await world.owner()
    await finish(flow, START + 1)
    last = world.changes()[-1]
    assert (last["change"], last["segment"]) == ("exited", "behaviour.c0")
    assert last["cause"] == {"type": "definition", "version": 2}


async def test_a_change_too_large_for_kafka_goes_without_its_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed must go out: else its partition would be held up for ever."""
    monkeypatch.setattr("segstream.partition.MOST_CHANGE_BYTES", 400)
    world = World([(0, BUYERS)])
    flow = await world.owner()
    await feed(flow, [record(0, START, order("u1", START))])
    await finish(flow, None)
    (change,) = world.changes()
    assert (change["segment"], change["change"], change["reasons"]) == ("buyer", "entered", [])


def test_a_partition_never_goes_back_to_an_older_snapshot() -> None:
    """Promise 4: a worker that finds an older snapshot in Redis, say after a loss, stays with the one in force."""
    library = World([(0, FOUND)]).library
    library.add_snapshot(behaviour(1, 1.0, 9.0))
    assert library.newest_models(1, {}) == {"behaviour": 1}
    assert library.newest_models(1, {"behaviour": 2}) == {"behaviour": 2}
    assert library.newest_models(1, {"removed": 5}) == {"behaviour": 1}, (
        "a model that is not used any more goes"
    )


@pytest.mark.parametrize("deaths", range(12))
async def test_after_redis_forgot_everybody_is_restated_under_a_new_incarnation(deaths: int) -> None:
    """Rule 6: sequences begin again at 1, whoever dies when on the way there, and nothing is lost or told twice."""
    world = World([(0, BUYERS)])
    flow = await world.owner()
    records = [record(offset, START + offset, order(f"u{offset}", START + offset)) for offset in range(4)]
    await feed(flow, [*records[:2], record(2, START, b"bad")])
    await finish(flow, None)
    backup = world.server.snapshot()
    await feed(flow, [records[3]])
    await finish(flow, None)
    world.server.restore(backup)

    world.fuse.steps = deaths
    for _ in range(2):
        try:
            flow = await world.owner()
            await finish(flow, None)
            break
        except Crash:
            continue
    assert flow.partition.meta.offsets == {"events": 2}
    await feed(flow, [records[3]])
    await finish(flow, None)
    again = [each for each in world.changes() if each["incarnation"] > 1]
    assert len({each["incarnation"] for each in again}) == 1
    assert [(each["user_id"], each["sequence"], each["change"], each["segments"]) for each in again] == [
        ("u0", 1, "restated", ["buyer"]),
        ("u1", 1, "restated", ["buyer"]),
        ("u3", 1, "entered", ["buyer"]),
    ]
    assert again[0]["cause"] == {"type": "recovery"}
    assert len(world.letters()) == 1
    for user, answer in world.memberships().items():
        assert answer["incarnation"] == again[0]["incarnation"]
        assert world.read_model.answer(user)["v"].startswith(f"{again[0]['incarnation']}:")


async def test_the_end_of_the_calendar_stops_no_partition() -> None:
    """A moment after year 9999 cannot be written: such an end is not told, and such a clock is cut."""
    world = World([(0, SHOP)])
    late = LATEST - DAY
    records = [record(0, late, order("u1", late)), record(1, 1 << 62, order("u1", late + 1))]
    flow = await play_at_once(world, records, None)
    assert world.changes()[0]["expires_at"] is None
    assert flow.partition.meta.clock == LATEST
    assert world.users()["u1"].due == NEVER


async def test_a_fenced_owner_publishes_and_shows_nothing() -> None:
    """An owner that wakes late finds both ways out closed."""
    world = World([(0, BUYERS)])
    zombie = await world.owner()
    await feed(zombie, [record(0, START, order("u1", START))])
    flow = await world.owner()
    with pytest.raises(Fenced):
        await zombie.publish()
    with pytest.raises(Fenced):
        await zombie.process([record(1, START, order("u2", START))])
    assert world.changes() == []
    await finish(flow, None)
    assert len(world.changes()) == 1


async def test_a_control_record_fires_what_is_due_by_then_inclusive() -> None:
    """In a replay it says that everything up to and including its moment has been sent."""
    turns = START + 60 * DAY + 1
    for moment, left in ((turns - 1, False), (turns, True)):
        world = World([(0, SHOP)], {"replay": True})
        records = [record(0, START, order("u1", START)), clock_record(1, moment)]
        await play_at_once(world, records, None)
        assert (len(world.changes()) == 2) is left
        if left:
            assert world.changes()[1]["at"] == format_time(turns)
        assert world.users()["u1"].decided_at == (turns if left else START)


async def test_a_control_record_of_a_live_partition_is_a_dead_letter() -> None:
    """Only a replay's clock can be moved."""
    world = World([(0, SHOP)])
    records = [record(0, START, order("u1", START)), clock_record(1, START + 90 * DAY)]
    flow = await play_at_once(world, records, None)
    assert [letter["reason"] for letter in world.letters()] == ["unexpected_control"]
    assert len(world.changes()) == 1
    assert flow.partition.meta.offsets == {"events": 1}


async def test_a_control_record_that_makes_no_sense_is_a_dead_letter() -> None:
    """Its header holds ms in digits."""
    world = World([(0, SHOP)], {"replay": True})
    bad = clock_record(0, START)._replace(headers=[("segstream-clock", b"soon")])
    await play_at_once(world, [bad], None)
    assert [letter["reason"] for letter in world.letters()] == ["unexpected_control"]


async def test_what_anybody_would_enter_still_has_a_reason() -> None:
    """Promise 5: a newcomer's condition that held before anything was known has not flipped, but it is told."""
    text = "version: 1\nfeatures: {orders: {op: count, event: X}}\nsegments: {window_shopper: {when: orders == 0}}\n"
    world = World([(0, text)])
    await play_at_once(world, [record(0, START, track("u1", "Y", START))], None)
    inputs = {"orders": {"before": None, "after": 0}}
    assert world.changes()[0]["reasons"] == [
        {"condition": "orders == 0", "before": None, "after": True, "inputs": inputs}
    ]


async def test_two_events_of_one_moment_are_told_apart_in_the_reasons() -> None:
    """The moment before the second is after the first: nothing is told to have been ordered in the future."""
    world = World(
        [
            (
                0,
                "version: 1\nfeatures: {n: {op: count}, t: {op: last_time}}\nsegments: {s: {when: n >= 2 and since(t) < 9s}}\n",
            )
        ]
    )
    await play_at_once(world, [record(offset, START, order("u1", START)) for offset in range(2)], None)
    inputs = {"n": {"before": 1, "after": 2}, "since(t)": {"before": "0s", "after": "0s"}}
    assert world.changes()[0]["reasons"][0]["inputs"] == inputs
