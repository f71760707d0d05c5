"""Reading a segment's members page by page while others enter and leave."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from segstream_schemas.queries import Command, MemberPages, Queries

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUERIES = Queries()
Happenings = Sequence[Sequence[tuple[str, int, int, int]]]


class Lists:
    """The sorted sets of one segment, as Redis keeps them: by score, then by the bytes of the member."""

    def __init__(self, partitions: int) -> None:
        self.entries: list[dict[bytes, int]] = [{} for _ in range(partitions)]

    def reply(self, command: Command) -> object:
        """Answer what `MemberPages` asks."""
        if command.name == "hget":
            return str(len(self.entries)).encode()
        key, low, high = command.arguments
        held = self.entries[int(key.partition("{")[2].rstrip("}"))]
        if command.name == "zcount":
            assert low == "-inf"
            assert high[0] == "("
            return sum(score < int(high[1:]) for score in held.values())
        assert command.name == "zrange"
        ordered = sorted((score, user) for user, score in held.items())
        return [(user, float(score)) for score, user in ordered[low : high + 1]]


def read(lists: Lists, since: int | None, page: int, meanwhile: Happenings) -> list[str]:
    """Read all members, with things happening between any two round trips."""
    moment = None if since is None else EPOCH + timedelta(milliseconds=since)
    pages = MemberPages(QUERIES, "loyal", moment, page=page)
    happening = iter(meanwhile)
    found: list[str] = []
    for _ in itertools.count():
        plan = pages.next()
        replies: list[object] | None = None
        try:
            while True:
                commands = plan.send(replies)
                replies = [lists.reply(command) for command in commands]
                for what, partition, user, at in next(happening, ()):
                    if what == "enter":
                        lists.entries[partition][b"%d" % user] = at
                    else:
                        lists.entries[partition].pop(b"%d" % user, None)
        except StopIteration as done:
            if not done.value:
                return found
            found += [
                f"{member.user_id}@{(member.since - EPOCH) / timedelta(milliseconds=1):.0f}"
                for member in done.value
            ]
    raise AssertionError


HAPPENING = st.tuples(
    st.sampled_from(["enter", "leave", "leave"]), st.integers(0, 1), st.integers(0, 30), st.integers(0, 6)
)


@given(
    st.lists(st.dictionaries(st.integers(0, 40), st.integers(0, 6), min_size=5), min_size=2, max_size=2),
    st.none() | st.integers(0, 7),
    st.integers(2, 5),
    st.lists(st.lists(HAPPENING, max_size=20), max_size=20),
)
def test_whoever_stays_is_told_exactly_once(
    held: list[dict[int, int]], since: int | None, page: int, meanwhile: Happenings
) -> None:
    """However many enter at one moment, and whoever else enters or leaves while pages are read."""
    lists = Lists(2)
    for entries, start in zip(lists.entries, held, strict=True):
        entries.update({b"%d" % user: at for user, at in start.items()})
    happened = list(itertools.chain.from_iterable(meanwhile))
    touched = {(partition, user) for _, partition, user, _ in happened}
    stay = [
        f"{user}@{at}"
        for partition, start in enumerate(held)
        for user, at in start.items()
        if (partition, user) not in touched and at >= (-math.inf if since is None else since)
    ]
    found = read(lists, since, page, meanwhile)
    # A user may be in both lists here, each entry of its own.
    for each in set(stay):
        assert found.count(each) >= stay.count(each)
        others = sum(f"{user}@{at}" == each for _, _, user, at in happened)
        others += sum(
            f"{user}@{at}" == each and (partition, user) in touched
            for partition, start in enumerate(held)
            for user, at in start.items()
        )
        assert found.count(each) <= stay.count(each) + others
    if since is not None:
        assert all(int(each.partition("@")[2]) >= since for each in found)


def test_without_changes_a_list_is_read_in_as_few_round_trips_as_there_are_pages() -> None:
    """Each page repeats one entry of the page before, to know its place; nothing is looked for twice."""
    lists = Lists(1)
    rng = random.Random(1)
    lists.entries[0] = {b"%d" % n: rng.randrange(3) for n in range(1_000)}
    asked = 0
    pages = MemberPages(QUERIES, "loyal", None, page=100)
    told = 0
    while True:
        plan, replies = pages.next(), None
        try:
            while True:
                commands = plan.send(replies)
                asked += 1
                replies = [lists.reply(command) for command in commands]
        except StopIteration as done:
            told += len(done.value)
            if not done.value:
                break
    assert told == 1_000
    assert asked == 1 + math.ceil(1_000 / 99)


def test_nobody_is_skipped_when_those_before_leave() -> None:
    """Many who have been told leave at once, so that all who follow move up by more than a page."""
    lists = Lists(1)
    lists.entries[0] = {b"%d" % n: n // 7 for n in range(10, 70)}
    told = sorted(lists.entries[0], key=lambda user: (lists.entries[0][user], user))
    for gone in range(1, 25):
        leave = [("leave", 0, int(user), 0) for user in told[:gone]]
        now = Lists(1)
        now.entries[0] = dict(lists.entries[0])
        # After N, and five pages of five, whose first entries are the last of the page before.
        found = read(now, None, 5, [[], [], [], [], [], [], leave])
        assert [int(each.partition("@")[0]) for each in found] == [int(user) for user in told]
