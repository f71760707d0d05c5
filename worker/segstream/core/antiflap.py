"""What keeps a user at a threshold from flapping: ``min_dwell``, ``cooldown`` and ``confirm_for`` of a segment.

For each segment a user is in one of five phases::

                                    confirm_for over
        .------------> CONFIRMING -----------------------> DWELLING <----.
        | true             |                                  |          |
        |                  | not true                min_dwell |         | entered
        |                  v                              over v         |
        '------------- OUT --------------------------------> IN          |
                        ^      true (without confirm_for)     |          |
                        |                                     | leaves   |
                        | cooldown over                       v          |
                        '---------------------------------- COOLING -----'

Without a ``min_dwell`` one is IN at once, without a ``cooldown`` OUT at once. *True* is: ``when`` is true and
``leave_when`` is not. *Leaves* is: ``leave_when`` is true or, without one, ``when`` is not.

=========== ============================================== =================================== ===================
phase       what happens                                   next phase                          told
=========== ============================================== =================================== ===================
out         turns true, no ``confirm_for``                 dwelling                            entered
out         turns true, with ``confirm_for``               confirming
confirming  is not true any more                           out                                 (confirm)
confirming  ``confirm_for`` has passed                     dwelling                            entered
dwelling    leaves                                         dwelling
dwelling    leaves, and then does not                      dwelling                            (dwell)
dwelling    ``min_dwell`` has passed, leaves               cooling                             exited
dwelling    ``min_dwell`` has passed, does not leave       in
in          leaves                                         cooling                             exited
cooling     turns true                                     cooling
cooling     turns true, and then is not                    cooling                             (cooldown, confirm)
cooling     ``cooldown`` has passed, not true              out
cooling     ``cooldown`` has passed, true                  dwelling                            entered
cooling     ``cooldown`` has passed, true, but not yet     confirming
            for ``confirm_for``
=========== ============================================== =================================== ===================

So each is about one thing, and where two of them hold back a change, it comes when the later has passed:
``min_dwell`` about leaving, counted from entering; ``cooldown`` about entering, counted from leaving; ``confirm_for``
about entering, counted from the moment the condition turned true, which may lie within the cooldown. ``confirm_for``
does not apply to leaving: a ``leave_when`` and ``min_dwell`` are for that.

In a group a segment that is cooling or still confirming does not apply; the first that applies is held; and the
``min_dwell`` of the one held comes before all. Whoever is moved to another segment of the group has left the first
one, so its cooldown begins. A condition is confirmed while another segment of the group is held, too.

What stands in parentheses is counted as a suppressed flip, by the reason given: a change that the conditions made and
took back while it was held back, so that nobody was told of either. Each is counted once, when it is taken back
(``confirm`` where the condition had not been true for ``confirm_for``). Nobody is woken for counting's sake: during
``min_dwell`` and ``cooldown`` (without a ``confirm_for``) the conditions are looked at when an event comes, when
something else of the user changes, and at the end.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.changes import over
from segstream.core.segments import Clocks
from segstream.core.time import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.core.definitions import Definitions, Segment
    from segstream.core.segments import Choice
    from segstream.core.types import State
    from segstream.core.user import User

    Document = dict[str, Any]
    Suppressed = list[tuple[str, str]]


class Phase(Enum):
    """Where a user stands in a segment."""

    OUT = "out"
    CONFIRMING = "confirming"
    IN = "in"
    DWELLING = "dwelling"
    COOLING = "cooling"


class Standing(NamedTuple):
    """How a user stands in a segment, and what anti-flap holds back.

    Parameters
    ----------
    segment : str
        Which one.
    phase : Phase
        Where the user stands.
    since : int or None
        Since when (ms): since entering, leaving, or the condition's turning true; None when out.
    until : int or None
        When (ms) the phase is over if nothing happens before; None where it has no end of its own.
    held_back : str or None
        ``entering`` or ``leaving``, where the conditions would have it now and the phase does not let it happen.
    """

    segment: str
    phase: Phase
    since: int | None
    until: int | None
    held_back: str | None


def weigh(
    user: User,
    choice: Choice,
    current: str | None,
    states: Sequence[State],
    at: int,
    suppressed: Suppressed,
) -> tuple[str | None, int, int]:
    """Judge segments of which some cool down or have to be confirmed, and keep what that takes in the user.

    Returns
    -------
    str or None
        The segment to hold, leaving ``min_dwell`` aside.
    int
        A moment up to which that certainly stays so.
    int
        A moment up to which what is confirmed, or might be, certainly stays as it is.
    """
    weighed = choice.weigh(current, Clocks(user.confirming, user.left), user.resisted, states, at)
    if weighed.confirming is not user.confirming:
        user.confirming = dict(weighed.confirming)
    suppressed.extend(weighed.withdrawn)
    if user.resisted or weighed.blocked:
        others = (name for name in user.resisted if name == current or name not in choice.by_name)
        user.resisted = (*others, *weighed.blocked)
    return weighed.target, weighed.until, weighed.tracked


def resist(user: User, segment: str) -> None:
    """Note that a segment would have been left but for its ``min_dwell``."""
    if segment not in user.resisted:
        user.resisted = (*user.resisted, segment)


def yield_to(user: User, segment: str, target: str | None, suppressed: Suppressed) -> None:
    """Note that nothing holds back any more that a segment is left: it is left for ``target``, or stays itself."""
    user.resisted = tuple(name for name in user.resisted if name != segment)
    if target == segment:
        suppressed.append((segment, "dwell"))


def step(user: User, choice: Choice, left: str | None, entered: str | None, at: int) -> None:
    """Set the clocks of the segment that is left and of the one that is entered."""
    if entered is not None:
        user.confirming = _without(user.confirming, entered)
        user.left = _without(user.left, entered)
    if left is not None and choice.by_name[left].cooldown:
        user.left = {**user.left, left: at}


def cool_down(user: User, segments: Mapping[str, Segment], at: int) -> None:
    """Forget when segments were left whose ``cooldown`` is over."""
    cooling = {name: left for name, left in user.left.items() if left + segments[name].cooldown > at}
    if len(cooling) != len(user.left):
        user.left = cooling


def ended(
    user: User, choice: Choice, current: str | None, target: str | None, kept_until: int, at: int
) -> list[Document]:
    """Return what of anti-flap ends at this moment and so lets ``target`` follow ``current``, as reasons."""
    found = []
    if current is not None and (dwell := choice.by_name[current].min_dwell) and at == kept_until:
        found.append(over("min_dwell", dwell, current))
    if target is not None:
        segment = choice.by_name[target]
        if (length := segment.confirm_for) and user.confirming.get(target, at) + length == at:
            found.append(over("confirm_for", length, target))
        if (length := segment.cooldown) and user.left.get(target, at) + length == at:
            found.append(over("cooldown", length, target))
    return found


def carry(user: User, former: Definitions, present: Definitions, at: int) -> None:
    """Take over what was kept under former definitions, after the segments held are those of the present ones.

    A cooldown goes on, by its present length, if it was not over. What is being confirmed goes on where the condition
    means the same, and else begins anew. What was resisted is resisted anew, and not counted.

    Parameters
    ----------
    user : User
        Is changed.
    former, present : Definitions
        Those until now and those from now on.
    at : int
        The moment in ms.
    """
    if not (user.confirming or user.left or user.resisted):
        return
    before = {segment.name: segment for segment in former.segments}
    confirming: dict[str, int] = {}
    left: dict[str, int] = {}
    for segment in present.segments:
        name = segment.name
        old = name if name in before else segment.renamed_from or ""
        if name in user.held:
            continue
        if segment.cooldown:
            length = before[old].cooldown if old in before else 0
            if name in user.left and user.left[name] == at:  # it was left just now
                left[name] = at
            elif old in user.left and user.left[old] + length > at:
                left[name] = user.left[old]
        same = old in before and _meaning(before[old], former) == _meaning(segment, present)
        if segment.confirm_for and same and old in user.confirming:
            confirming[name] = user.confirming[old]
    user.confirming, user.left, user.resisted = confirming, left, ()


def standings(user: User, choice: Choice, states: Sequence[State], at: int) -> list[Standing]:
    """Return how a user stands in each segment of a choice at a moment, not before the last decision.

    Parameters
    ----------
    user : User
        Is not changed.
    choice : Choice
        The segments.
    states : sequence of State
        The user's feature states and memberships.
    at : int
        The moment in ms.
    """
    current = choice.held(user.held)
    confirming = choice.weigh(current, Clocks(user.confirming, user.left), (), states, at).confirming
    found = []
    for name, segment in choice.by_name.items():
        since, until, held_back = None, None, None
        if name == current:
            phase, since = Phase.IN, user.held[name][0]
            if at < since + segment.min_dwell:
                phase, until = Phase.DWELLING, since + segment.min_dwell
                target = choice.weigh(current, Clocks(confirming, user.left), (), states, at).target
                held_back = None if target == current else "leaving"
        else:
            wanted = choice.wants(name, states, at)
            turned = confirming.get(name, NEVER)
            phase = Phase.OUT
            if at < (over_at := user.left.get(name, -NEVER) + segment.cooldown):
                phase, since, until = Phase.COOLING, user.left[name], over_at
                held_back = "entering" if wanted else None
            elif wanted and at < turned + segment.confirm_for < NEVER:
                phase, since, until = Phase.CONFIRMING, turned, turned + segment.confirm_for
                held_back = "entering"
        found.append(Standing(name, phase, since, until, held_back))
    return found


def _without(clocks: dict[str, int], name: str) -> dict[str, int]:
    if name not in clocks:
        return clocks
    return {each: moment for each, moment in clocks.items() if each != name}


def _meaning(segment: Segment, definitions: Definitions) -> tuple[object, ...]:
    """Return what decides whether a segment applies: the conditions and what they read."""
    conditions = [each for each in (segment.when, segment.leave_when) if each is not None]
    features = definitions.features
    read = sorted({index for each in conditions for index in each.reads if index < len(features)})
    texts = segment.when.text, None if segment.leave_when is None else segment.leave_when.text
    return (*texts, *(features[index].fingerprint for index in read))
