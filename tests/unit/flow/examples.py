"""Random definitions of the present language, and random histories to try them on."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from hypothesis import strategies as st

from segstream.core.clusters import Snapshot
from segstream.core.events import LogRecord
from segstream.core.partitioning import murmur2
from segstream.core.time import format_time
from tests.unit.flow.values import Happening
from tests.unit.flow.worlds import SKEW, START, clock_record

Draw = Callable[[st.SearchStrategy[Any]], Any]

UNITS = [1, 1, 1, 20_000, 3_600_000, 86_400_000]
"""Length of what histories and definitions count in, ms: mostly one that lets every moment be tried."""

WRITTEN: Final = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
TOPICS: Final = ("events", "crm")

SIGNS = st.sampled_from([">=", ">", "<", "<="])
ANY_SIGN = st.sampled_from([">=", ">", "<", "<=", "==", "!="])
SMALL = st.integers(0, 4)
AMOUNTS = st.sampled_from([0, 1, 2, 3, 5, 0.1, 0.2, 0.3, 2.5, -1, -2.5, "x", "y", None, True])
FILTERS = st.sampled_from(
    [
        "properties.v > 1",
        "properties.v in ['x', 'y']",
        "exists(properties.v) and properties.v != 'x'",
        "event == 'A' and properties.q >= 1",
        "coalesce(properties.v, 0) < 2",
        "name starts_with 'P' or properties.v matches '^x'",
        "properties.v * 2 > properties.q",
        "not (type == 'page' and userId contains 'a')",
        "properties.q / properties.v > 0.5",
        "properties.v == true",
    ]
)
# Made once: to make a strategy costs more than to draw from it.
USERS = st.sampled_from(["ada", "bob", "cem"])
KINDS = st.sampled_from(
    [("track", "A"), ("track", "A"), ("track", "B"), ("page", "P"), ("page", None), ("identify", None)]
)
TOLD = st.sampled_from(["DE", "NO", "SE", 7])
SOME_TRAITS = st.lists(st.sampled_from(["age", "country", "seen", "vip"]), unique=True)
PRICES = st.lists(AMOUNTS, max_size=3)
QUANTITIES = st.sampled_from([1, 2, 0.5])
ODD_LINES = st.sampled_from([None, {"p": 1}, [[], 7, {"q": 1}, {"p": 2}]])
TAGS = st.lists(st.sampled_from(["x", "y", 1, 1.0, True]), max_size=3)
LETTERS = st.sampled_from("abc")
PAUSES = st.sampled_from([0, 0, 1, 2, 3, 5, 8, 13, 30])
DELAYS = st.sampled_from([0, 0, 0, 0, 1, 3, 10, 25, -1, -4])
TRAITS: Final = {"country": "text", "vip": "boolean", "age": "number", "seen": "time"}

SNAPSHOT: Final = Snapshot(
    name="kind",
    number=1,
    features=("told", "avg"),
    transforms=("linear", "linear"),
    means=(2.0, 1.0),
    scales=(2.0, 1.5),
    centers=((-1.13, -0.97), (0.21, 1.07), (2.03, -0.31)),
    ids=("c0", "c1", "c2"),
)
"""What a model has found, of features that no time moves: so users are assigned at their events and never between."""


PLAIN_FEATURES: Final = {
    "kinds": "op: distinct, of: properties.v, expose: true",
    "tags": "op: distinct, of: 'properties.tags[]', event: [A, B]",
    "top_v": "op: top, of: properties.v",
    "top_tag": "op: top, of: 'properties.tags[]', expose: true",
    "part": "op: share, type: track, of: properties.v, equals: [x, 1, true]",
    "some_line": "op: share, of: 'properties.lines[].p', equals: [1, 2]",
    "some_tag": "op: share, of: 'properties.tags[]', equals: y",
    "days": "op: days_active, event: A",
    "days_v": "op: days_active, of: properties.v",
    "lines": "op: sum, of: 'properties.lines[].p', event: A",
    "line": "op: last, of: 'properties.lines[].p'",
    "priced": "op: count, of: 'properties.lines[].p'",
    "a": "op: count, event: A",
    "ab": "op: count, event: [A, B]",
    "pages": "op: count, type: page, name: [P, Q], expose: true",
    "told": "op: count, of: properties.v",
    "spend": "op: sum, of: properties.v, event: A, expose: true",
    "avg": "op: mean, of: properties.v",
    "low": "op: min, of: properties.v, event: B",
    "high": "op: max, of: properties.v",
    "one": "op: first, of: properties.v",
    "late": "op: last, of: properties.v, event: A",
    "since_a": "op: first_time, event: A",
    "last_a": "op: last_time, event: A",
    "last_any": "op: last_time",
    "last_v": "op: last_time, of: properties.v, event: B",
    "crm": "op: count, topic: crm",
    "web": "op: count, type: track, topic: [events, other]",
}
"""Features by name that are always the same."""

WINDOWS: Final = {
    "win_a": "op: count, event: A",
    "win_v": "op: sum, of: properties.v, type: track",
    "kinds_w": "op: distinct, of: properties.v",
    "mean_w": "op: mean, of: properties.v, event: A",
    "min_w": "op: min, of: properties.v",
    "max_w": "op: max, of: 'properties.lines[].p', type: track",
    "part_w": "op: share, of: properties.q, equals: [1, x], expose: true",
    "lines_w": "op: sum, of: 'properties.lines[].p'",
}
FILTERED: Final = {
    "fil": "op: count",
    "fil_w": "op: count",
    "fil_v": "op: sum, of: properties.q, expose: true",
    "fil_t": "op: last_time, event: A",
}
NAMES: Final = (*PLAIN_FEATURES, *WINDOWS, *FILTERED, "days_w", "coarse", "speed", "flow", "paid")


@dataclass(frozen=True)
class Case:
    """An example.

    Parameters
    ----------
    versions : tuple of (int, str)
        Definitions, with the moment each comes into force.
    happenings : tuple of Happening or int
        Events and the moments of control records, in the order they were sent, of all partitions.
    partitions : int
    replay : bool
    grace : int
        ms.
    end : int
        The moment everything is looked at last.
    topics : tuple of str
        The input topics.
    models : bool
        Whether the definitions have segments that a model finds.
    """

    versions: tuple[tuple[int, str], ...]
    happenings: tuple[Happening | int, ...]
    partitions: int
    replay: bool
    grace: int
    end: int
    topics: tuple[str, ...] = TOPICS[:1]
    models: bool = False

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What models have found."""
        return (SNAPSHOT,) if self.models else ()

    def __repr__(self) -> str:
        """Show it so that it can be read."""
        head = f"partitions={self.partitions} replay={self.replay} grace={self.grace} end=+{self.end - START}"
        texts = [f"--- from {at - START if at else 0:+}\n{text}" for at, text in self.versions]
        lines = [
            f"clock +{each - START}"
            if isinstance(each, int)
            else f"{each.topic}/{each.partition}/{each.offset} {each.user} at +{each.at - START} arrives +{each.arrival - START} "
            f"{each.message} {each.type} {each.name} {each.document.get('properties') or each.document.get('traits')}"
            for each in self.happenings
        ]
        return "\n".join([head, *texts, "---", *lines])

    def sent(self, number: int) -> list[tuple[LogRecord, Happening | int]]:
        """Return the records of a partition number in the order they were sent, each with what it holds."""
        found: list[tuple[LogRecord, Happening | int]] = []
        offsets = dict.fromkeys(self.topics, 0)
        for each in self.happenings:
            if isinstance(each, int):
                topic = self.topics[0]
                found.append((clock_record(offsets[topic], each, partition=number), each))
            elif each.partition == number:
                topic, key, value = each.topic, each.user.encode(), orjson.dumps(each.document)
                found.append((LogRecord(topic, number, offsets[topic], each.arrival, key, value), each))
            else:
                continue
            offsets[topic] += 1
        return found

    def applied(self, number: int) -> list[tuple[LogRecord, Happening | int]]:
        """Return them in the order they are applied where all of them wait: by arrival, then as the topics are listed."""
        sent = self.sent(number)
        waiting = [deque(pair for pair in sent if pair[0].topic == topic) for topic in self.topics]
        found = []
        while filled := [queue for queue in waiting if queue]:
            found.append(min(filled, key=lambda queue: queue[0][0].timestamp).popleft())
        return found

    def records(self, number: int) -> list[LogRecord]:
        """Return the records of a partition number in the order they are applied."""
        return [record for record, _ in self.applied(number)]


class Writer:
    """Draws the versions of the definitions.

    Parameters
    ----------
    draw : callable
        Hypothesis' own.
    unit : int
        What durations are multiples of, ms.
    models : bool
        Whether there are segments that a model finds.
    """

    def __init__(self, draw: Draw, unit: int, *, models: bool = False) -> None:
        self.draw, self.unit, self.models = draw, unit, models
        self.askable: list[str] = []
        self.written: dict[str, str] = {}
        self.defined: dict[str, str] = {}

    def length(self, most: int = 25) -> str:
        """Return a duration."""
        return self.spelled(self.draw(st.integers(1, most)) * self.unit)

    def spelled(self, ms: int) -> str:
        """Write a duration in one of the ways there are."""
        if self.unit == 1 or self.draw(st.integers(0, 3)) == 0:
            return f"{ms}ms"
        found = ""
        for unit, length in WRITTEN.items():
            if ms >= length:
                found, ms = f"{found}{ms // length}{unit}", ms % length
        return found

    def window(self) -> str:
        """Return the options of a window: some buckets of some width."""
        width, buckets = self.draw(st.integers(1, 6)), self.draw(st.integers(1, 6))
        return f"window: {self.spelled(self.unit * width * buckets)}, resolution: {self.unit * width}ms"

    def feature(self, name: str) -> str:
        """Return the definition of a feature, perhaps the one that it had in an earlier version."""
        if name in PLAIN_FEATURES:
            return PLAIN_FEATURES[name]
        if name not in self.defined or not self.draw(st.booleans()):
            self.defined[name] = self.drawn(name)
        return self.defined[name]

    def drawn(self, name: str) -> str:  # noqa: PLR0911 - one per shape
        """Draw the definition of a feature that is not always the same."""
        if name in WINDOWS:
            return f"{WINDOWS[name]}, {self.window()}"
        if name in FILTERED:
            more = f", window: {self.length()}" if name == "fil_w" else ""
            return f'{FILTERED[name]}{more}, where: "{self.draw(FILTERS)}"'
        match name:
            case "days_w":
                return f"op: days_active, window: {self.draw(st.integers(1, 3))}d"
            case "coarse":
                return f"op: count, type: page, window: {self.length()}"
            case "speed":
                life = self.draw(st.integers(2, 8)) * self.unit
                return f"op: rate, event: A, half_life: {life}ms, per: {life}ms"
            case "flow":
                return f"op: rate, of: properties.q, half_life: {self.length(8)}, per: {4 * self.unit}ms, expose: true"
            case _:
                return f"op: rate, of: 'properties.lines[].p', half_life: {self.length(8)}, per: {3 * self.unit}ms"

    def atom(self) -> str:  # noqa: C901, PLR0911, PLR0912 - one per shape
        """Return one comparison."""
        draw = self.draw
        match draw(st.integers(0, 29)):
            case 28:
                counts = ["crm", "web", "crm - web", "web / crm"]
                return f"{draw(st.sampled_from(counts))} {draw(ANY_SIGN)} {draw(SMALL)}"
            case 29:
                moment = format_time(START + draw(st.integers(-3, 90)) * self.unit)
                time = draw(st.sampled_from(["last_a", "traits.seen", f"since_a + {self.length()}"]))
                return f"{time} {draw(ANY_SIGN)} '{moment}'"
            case 0:
                return f"{draw(st.sampled_from(['a', 'ab', 'pages', 'told']))} {draw(ANY_SIGN)} {draw(SMALL)}"
            case 1:
                return f"{draw(st.sampled_from(['spend', 'avg', 'low', 'high', 'late']))} {draw(ANY_SIGN)} {draw(SMALL)}"
            case 2 | 3 | 4:
                times = ["last_a", "last_a", "since_a", "last_any", "last_v", "traits.seen"]
                return f"since({draw(st.sampled_from(times))}) {draw(SIGNS)} {self.length()}"
            case 5 | 6:
                return f"win_a {draw(ANY_SIGN)} {draw(SMALL)}"
            case 7:
                return f"win_v {draw(SIGNS)} {draw(st.sampled_from(['0', '0.3', '1', '2.5', '-1']))}"
            case 8:
                return f"{draw(st.sampled_from(['speed', '2 * speed', 'speed / 3', '-speed']))} {draw(SIGNS)} 0.{draw(st.integers(1, 9))}"
            case 9:
                return f"flow {draw(SIGNS)} {draw(st.sampled_from(['0', '0.37', '1.1', 'a * 0.3']))}"
            case 10:
                return f"since(last_a) * {draw(st.sampled_from(['2', '0.3', 'a']))} {draw(SIGNS)} {self.length()}"
            case 11:
                return f"since(last_any) {draw(SIGNS)} {draw(st.sampled_from(['win_a', 'a', 'avg']))} * {self.length(6)}"
            case 12:
                return f"last_a - since_a {draw(SIGNS)} {self.length(12)}"
            case 13:
                return f"win_a / ab {draw(SIGNS)} 0.{draw(st.integers(1, 9))}"
            case 14:
                return f"win_a + coarse {draw(SIGNS)} {draw(SMALL)}"
            case 15:
                return f"traits.country {draw(st.sampled_from(['==', '!=']))} 'DE'"
            case 16:
                return f"traits.country {draw(st.sampled_from(['in', 'not in']))} ['NO', 'SE']"
            case 17:
                return str(
                    draw(
                        st.sampled_from(
                            ["traits.vip", "not traits.vip", "traits.vip == false", "traits.age >= 2"]
                        )
                    )
                )
            case 18:
                return str(
                    draw(
                        st.sampled_from(
                            ["one == 'x'", "one != 2", "late in [1, 2, 0.1]", "win_a not in [0, 2]"]
                        )
                    )
                )
            case 19 | 20 | 21 | 22:
                return self.guarded()
            case 24 | 25 | 26 | 27:
                return self.kept()
            case _:
                return f"since(since_a) + since(last_any) {draw(SIGNS)} {self.length(40)}"

    def kept(self) -> str:  # noqa: PLR0911 - one per shape
        """Return a comparison of what more there is to keep of events."""
        draw = self.draw
        match draw(st.integers(0, 7)):
            case 0:
                whole = ["kinds", "tags", "days", "days_v", "priced", "kinds_w", "days_w", "kinds_w + days_w"]
                return f"{draw(st.sampled_from(whole))} {draw(ANY_SIGN)} {draw(SMALL)}"
            case 1 | 2:
                moving = ["mean_w", "min_w", "max_w", "lines_w", "max_w - min_w", "mean_w * 2", "kinds_w"]
                bound = st.sampled_from(["0", "0.3", "1", "2.5", "-1", "a", "mean_w"])
                return f"{draw(st.sampled_from(moving))} {draw(ANY_SIGN)} {draw(bound)}"
            case 3:
                part = draw(st.sampled_from(["part", "part_w", "some_tag", "some_line", "part_w * part"]))
                return f"{part} {draw(ANY_SIGN)} {draw(st.sampled_from(['0', '0.4', '0.5', '1']))}"
            case 4:
                told = ["top_v == 'x'", "top_v >= 2", "top_v == true", "top_tag == 'y'", "top_tag != 1"]
                told += ["top_tag in ['x', 'y']", "line > 1", "lines >= 2.5"]
                return str(draw(st.sampled_from(told)))
            case 5:
                moving = ["kinds_w", "mean_w", "days"]
                return f"since(last_any) {draw(SIGNS)} {draw(st.sampled_from(moving))} * {self.length(6)}"
            case 6:
                known = ["exists(min_w)", "exists(part_w)", "coalesce(max_w, 2) > 1"]
                return str(draw(st.sampled_from(known)))
            case _:
                return f"paid {draw(SIGNS)} {draw(st.sampled_from(['0', '0.37', '1.1', 'days * 0.3']))}"

    def guarded(self) -> str:  # noqa: PLR0911 - one per shape
        """Return a comparison that minds what is unknown, or looks into a text."""
        draw = self.draw
        match draw(st.integers(0, 6)):
            case 0:
                return f"exists({draw(st.sampled_from(['avg', 'low', 'last_v', 'late', 'traits.age', 'win_a']))})"
            case 1:
                number = draw(
                    st.sampled_from(["avg", "late", "win_a / ab", "win_v / win_a", "spend / a", "traits.age"])
                )
                return f"coalesce({number}, {draw(SMALL)}) {draw(ANY_SIGN)} {draw(SMALL)}"
            case 2:
                return f"since(coalesce(last_v, {draw(st.sampled_from(['since_a', 'last_any']))})) {draw(SIGNS)} {self.length()}"
            case 3:
                return f"coalesce(since(last_v), {self.length()}) {draw(SIGNS)} {self.length()}"
            case 4:
                look = st.sampled_from(
                    ["contains 'E'", "starts_with 'N'", "matches '^(NO|SE)$'", "matches '[xE]'"]
                )
                return f"{draw(st.sampled_from(['traits.country', 'one', 'late']))} {draw(look)}"
            case 5:
                return f"since(fil_t) {draw(SIGNS)} {self.length()}"
            case _:
                known = st.sampled_from(
                    [
                        "coalesce(traits.vip, true)",
                        "coalesce(traits.country, 'DE') == 'DE'",
                        "fil > 1",
                        "fil_w > 1",
                        "fil_v > 0.5",
                    ]
                )
                return str(draw(known))

    def condition(self, depth: int = 2) -> str:
        """Return a condition."""
        draw = self.draw
        if self.askable and draw(st.integers(0, 5)) == 0:
            return f"in_segment('{draw(st.sampled_from(self.askable))}')"
        shape = draw(st.integers(0, 9)) if depth else 0
        if shape <= 3:
            return self.atom()
        if shape == 9:
            return f"not ({self.condition(depth - 1)})"
        word = " and " if shape <= 6 else " or "
        return word.join(f"({self.condition(depth - 1)})" for _ in range(draw(st.integers(2, 3))))

    def once_more(self, name: str) -> str:
        """Return a condition for a segment, perhaps the one that an earlier version had."""
        before = self.written.get(name)
        if before is None or "in_segment" in before or self.draw(st.booleans()):
            self.written[name] = self.condition()
        return self.written[name]

    def names(self, *, first: bool) -> dict[str, str | None]:
        """Return the names of some segments, and what each was called before, if anything."""
        draw = self.draw
        count = draw(st.integers(1, 5))
        if first:
            return dict.fromkeys((f"s{index}" for index in range(count)), None)
        names = [f"{draw(st.sampled_from('sst'))}{index}" for index in range(count)]
        former = [f"{letter}{index}" for letter in "st" for index in range(5)]
        free = draw(st.permutations([name for name in former if name not in names]))
        return {name: old if draw(st.booleans()) else None for name, old in zip(names, free, strict=False)}

    def text(self, *, first: bool = True) -> str:
        """Return a whole file."""
        draw = self.draw
        former = self.names(first=first)
        names = list(former)
        lines = ["segments:"]
        grouped = draw(st.permutations(names))[: draw(st.integers(0, len(names)))]
        # Each asks only for what comes before it here, so that they go round in no circle.
        ranks = {
            name: -1 if name in grouped else rank for rank, name in enumerate(draw(st.permutations(names)))
        }
        middle = draw(st.integers(0, len(names)))
        ranks = {name: middle - 0.5 if rank < 0 else rank for name, rank in ranks.items()}
        for name in names:
            self.askable = [other for other in names if ranks[other] < ranks[name]]
            self.askable += [f"{SNAPSHOT.name}.{found}" for found in SNAPSHOT.ids] if self.models else []
            lines += [f"  {name}:", f'    when: "{self.once_more(name)}"']
            if former[name] is not None:
                lines.append(f"    renamed_from: {former[name]}")
            if draw(st.integers(0, 2)) == 0:
                lines.append(f'    leave_when: "{self.condition(1)}"')
            if draw(st.integers(0, 2)) == 0:
                lines.append(f"    min_dwell: {self.length()}")
            lines += [
                f"    {what}: {self.length()}"
                for what in ("cooldown", "confirm_for")
                if draw(st.integers(0, 3)) == 0
            ]
        if grouped:
            lines.append(f"groups: {{g: {{first_of: [{', '.join(grouped)}]}}}}")
        if self.models:
            inputs = ", ".join(SNAPSHOT.features)
            lines.append(
                f"discovered: {{{SNAPSHOT.name}: {{model: kmeans, clusters: 3, features: [{inputs}]}}}}"
            )
        return "\n".join([*self.head("\n".join(lines)), *lines]) + "\n"

    def head(self, segments: str) -> list[str]:
        """Return the features that segments read, and a few that nobody does."""
        draw = self.draw
        words = set(re.findall(r"[a-z_.]+", segments))
        some = draw(st.lists(st.sampled_from(NAMES), max_size=2))
        features = [name for name in NAMES if name in words or name in some]
        lines = ["version: 1", "features:"] if features else ["version: 1"]
        lines += [f"  {name}: {{{self.feature(name)}}}" for name in features]
        traits = [f"{name}: {kind}" for name, kind in TRAITS.items() if f"traits.{name}" in words]
        return [*lines, f"traits: {{{', '.join(traits)}}}"] if traits else lines


@st.composite
def cases(draw: Draw, *, several: bool = False, models: bool = False, live: bool = False) -> Case:
    """Return definitions and a history.

    Parameters
    ----------
    several : bool
        Whether there must be two versions at least.
    models : bool
        Whether there may be segments that a model finds.
    live : bool
        Whether arrivals must drive the clock, and none be earlier than the one before.
    """
    unit = draw(st.sampled_from(UNITS))
    models = models and draw(st.integers(0, 3)) == 0
    writer = Writer(draw, unit, models=models)
    replay, partitions = not live and draw(st.booleans()), draw(st.sampled_from([1, 1, 2]))
    topics = TOPICS[: draw(st.integers(1, 2))]
    grace = draw(st.sampled_from([0, 0, 0, 5])) * unit
    happenings: list[Happening | int] = []
    offsets = {(topic, number): 0 for topic in topics for number in range(partitions)}
    jitter = st.sampled_from([0, 0, 0, 1] if live else [0, 0, 0, 1, -1])
    clock = 0
    for index in range(draw(st.integers(1, 25))):
        clock += draw(PAUSES) * unit + draw(jitter)
        if replay and draw(st.integers(0, 9)) == 0:
            happenings.append(START + clock)
            for number in range(partitions):
                offsets[topics[0], number] += 1
            continue
        sent = [each for each in happenings if isinstance(each, Happening)]
        if sent and draw(st.integers(0, 9)) == 0:
            topic = draw(st.sampled_from(topics))
            again = repeated(draw(st.sampled_from(sent)), START + clock, topic, offsets, replay=replay)
            happenings.append(again)
            continue
        delay = draw(DELAYS) * unit
        if abs(delay) > SKEW:
            delay = abs(delay)
        topic = topics[draw(SMALL) % len(topics)]
        happenings.append(
            event(draw, START + clock, START + clock - delay, index, topic, offsets, replay=replay)
        )
    versions = [(0, writer.text())]
    if several or draw(st.integers(0, 2)) == 0:
        moments = sorted(draw(st.lists(st.integers(0, clock // unit + 20), min_size=1, max_size=2)))
        versions += [(START + moment * unit, writer.text(first=False)) for moment in moments]
    end = START + clock + 60 * unit
    return Case(tuple(versions), tuple(happenings), partitions, replay, grace, end, topics, models)


def event(
    draw: Draw,
    arrival: int,
    at: int,
    index: int,
    topic: str,
    offsets: dict[tuple[str, int], int],
    *,
    replay: bool,
) -> Happening:
    """Return an event of one of a few users."""
    user = draw(USERS)
    kind, name = draw(KINDS)
    document: dict[str, Any] = {"type": kind, "userId": user, "timestamp": format_time(at)}
    if name is not None:
        document["event" if kind == "track" else "name"] = name
    if kind == "identify":
        near = [format_time(at), format_time(at + 3), format_time(START + 5), "yesterday"]
        traits = {
            "country": draw(TOLD),
            "vip": draw(st.booleans()),
            "age": draw(SMALL),
            "seen": near[draw(SMALL) % 4],
        }
        document["traits"] = {trait: traits[trait] for trait in draw(SOME_TRAITS)}
    else:
        lines: Any = [{"p": price} for price in draw(PRICES)]
        document["properties"] = {
            "v": draw(AMOUNTS),
            "q": draw(QUANTITIES),
            "lines": draw(ODD_LINES) or lines,
            "tags": draw(TAGS),
        }
    partition = murmur2(user.encode(), 1 + max(number for _, number in offsets))
    offset = offsets[topic, partition]
    offsets[topic, partition] += 1
    message = f"{topic}-{partition}-{offset}"
    if draw(SMALL):
        # Their order is not that of the events.
        message = document["messageId"] = f"{draw(LETTERS)}{index}"
    arrived = at if replay else arrival
    return Happening(user, at, arrived, message, kind, name, document, topic, partition, offset)


def repeated(
    event: Happening, arrival: int, topic: str, offsets: dict[tuple[str, int], int], *, replay: bool
) -> Happening:
    """Return an event sent once more, perhaps to another topic."""
    offset = offsets[topic, event.partition]
    offsets[topic, event.partition] += 1
    document = {**event.document, "messageId": event.message}
    arrived = event.arrival if replay else arrival
    return replace(event, arrival=arrived, document=document, topic=topic, offset=offset)
