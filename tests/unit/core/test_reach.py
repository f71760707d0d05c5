"""Only segments whose inputs an event touches are looked at, and nothing else comes of it than of a look at all."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.basis import Basis
from segstream.core.decider import Decider
from segstream.core.definitions import read_definitions
from segstream.core.engine import Engine, Outcome
from segstream.core.events import Event
from segstream.core.segments import Choice
from segstream.core.user import NOBODY, User

READY_MADE = Path(__file__).parents[3] / "deploy" / "definitions"
DAY = 86_400_000
START = 10_000 * DAY

SHOP = """\
version: 1
features:
  orders:     {op: count, event: Order}
  last_order: {op: last_time, event: Order}
  pages:      {op: count, type: page}
  visits_7d:  {op: count, type: page, window: 7d}
  dear:       {op: count, event: Order, where: properties.revenue > 100}
segments:
  buyer:    {when: orders >= 1}
  silent:   {when: since(last_order) > 60d}
  reader:   {when: pages >= 2}
  regular:  {when: visits_7d >= 3}
  rich:     {when: dear >= 1}
  talker:   {when: in_segment("reader") and orders >= 0}
  twice:    {when: in_segment("talker")}
  settled:  {when: orders >= 3, min_dwell: 1d}
"""


definitions = cache(read_definitions)


class Where(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Everything(Decider):
    """Looks at all segments with each event."""

    __slots__ = ()

    def decide(self, *arguments: Any, **_: Any) -> None:
        """See `Decider`, without what an event reaches."""
        super().decide(*arguments[:6])


class Story:
    """One user's events, applied one at a time."""

    def __init__(self, text: str, kind: type[Decider] = Decider) -> None:
        self.engine = Engine([kind(Basis(1, 0, 1, 1, {}), definitions(text), {})])
        self.outcome = Outcome()
        self.user = self.engine.newcomer("u", self.outcome)
        self.count = 0

    def event(self, at: int, kind: str, name: str | None = None, **properties: Any) -> None:
        """Apply an event that happens and arrives at a moment in ms."""
        self.user = User.decode("u", self.user.encode())
        self.count += 1
        document = {"type": kind, "event": name, "properties": properties, "traits": properties}
        event = Event("u", at, f"m{self.count}", kind, name, document)
        touched = self.engine.touch(self.user, self.outcome)
        record: Any = Where("events", 0, self.count)
        self.engine.apply(touched, self.engine.bring(event, "events"), record, at, self.outcome)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the segments that are looked at."""
    found: list[str] = []
    judge = Choice.judge

    def judged(self: Choice, current: str | None, states: Any, at: int) -> tuple[str | None, int]:
        found.extend(self.names)
        return judge(self, current, states, at)

    monkeypatch.setattr(Choice, "judge", judged)
    return found


def test_an_event_has_only_the_segments_looked_at_that_read_what_it_changes(looked_at: list[str]) -> None:
    """Also those that ask for them, and theirs; with ``min_dwell`` always, so that flips are noticed."""
    story = Story(SHOP)
    story.event(START, "page")
    assert set(looked_at) == set(read_names(SHOP))
    looked_at.clear()
    story.event(START + 1, "identify")
    assert looked_at == ["settled"]
    story.event(START + 2, "track", "Order", revenue=5)
    looked_at.clear()
    # Due for `silent` from here on, which reads no page.
    story.event(START + 3, "page")
    assert set(looked_at) == {"reader", "regular", "talker", "twice", "settled"}
    assert set(story.user.held) == {"buyer", "reader", "talker", "twice"}


def test_what_the_user_was_due_for_changing_has_all_looked_at(looked_at: list[str]) -> None:
    """Only then is it known what is due next, and nobody is woken in vain."""
    story = Story(SHOP)
    story.event(START, "page")
    story.event(START, "track", "Order", revenue=5)
    due = story.user.due
    looked_at.clear()
    story.event(START + DAY, "track", "Order", revenue=5)
    assert set(looked_at) == set(read_names(SHOP))
    assert story.user.due == due + DAY


def test_a_moment_that_has_come_has_all_looked_at(looked_at: list[str]) -> None:
    """An event at the very moment a timer is due comes first, and sees what the moment brings."""
    story = Story(SHOP)
    story.event(START, "track", "Order", revenue=5)
    looked_at.clear()
    story.event(START + 60 * DAY + 1, "identify")
    assert set(looked_at) == set(read_names(SHOP))
    assert "silent" in story.user.held


def test_who_is_due_for_nothing_has_no_more_looked_at(looked_at: list[str]) -> None:
    """No time-based segment waits for a user without an order or a visit."""
    story = Story(SHOP.replace("  regular:", "  # regular:"))
    story.event(START, "page")
    assert story.user.due_for == NOBODY
    looked_at.clear()
    story.event(START + 1, "page")
    assert set(looked_at) == {"reader", "talker", "twice", "settled"}


def read_names(text: str) -> list[str]:
    """Return the names of the segments that definitions have."""
    return [segment.name for segment in definitions(text).segments]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [("page", None), ("identify", None), ("track", "Order"), ("track", "Order Completed"), ("track", "Signed Up"),
             ("track", "Feature Used"), ("track", "Product Viewed"), ("track", "Product Added"), ("track", "Survey Answered")]
        ),
        st.sampled_from([0, 1, 1000, DAY // 2, DAY, 3 * DAY, 20 * DAY, 60 * DAY + 1]),
        st.sampled_from([1, 50, 101, 900]),
    ),
    max_size=25,
)  # fmt: skip


@pytest.mark.parametrize("name", ["shop", "retail", "saas"])
@settings(max_examples=60, deadline=None)
@given(events=EVENTS)
def test_a_look_at_what_an_event_touches_finds_what_a_look_at_all_finds(
    name: str, events: list[tuple[tuple[str, str | None], int, int]]
) -> None:
    """The same changes, the same memberships, the same next due moment."""
    written = SHOP if name == "shop" else (READY_MADE / f"{name}.yaml").read_text("utf-8")
    some, all_ = Story(written), Story(written, Everything)
    at = START
    for (kind, told), later, amount in events:
        at += later
        for story in (some, all_):
            story.event(at, kind, told, revenue=amount, feature=f"f{amount}", score=amount % 11, plan="basic")
        assert some.outcome.changes == all_.outcome.changes
        assert some.outcome.suppressed == all_.outcome.suppressed
        assert (some.user.held, some.user.due) == (all_.user.held, all_.user.due)
