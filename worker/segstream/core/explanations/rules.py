"""A rule segment explained: in it or not, because of what, until when, and what comes before it or holds it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.antiflap import Phase, Standing, standings
from segstream.core.explanations.conditions import Part, explain, moment
from segstream.core.segments import Choice
from segstream.core.time import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.definitions import Definitions, Segment
    from segstream.core.types import State
    from segstream.core.user import User

_TRUTHS = {True: "true", False: "false", None: "unknown"}


class Because(NamedTuple):
    """What decides, last of all, that a user is or is not in a segment.

    Parameters
    ----------
    code : str
        ``when``, ``leave_when``, ``min_dwell``, ``cooldown``, ``confirm_for``, ``group``, or ``due`` for what is
        about to be decided.
    text : str
        The same for people.
    """

    code: str
    text: str


class Rival(NamedTuple):
    """Another segment of the same group.

    Parameters
    ----------
    name : str
        The segment.
    held : bool
        Whether the user is in it.
    applies : bool
        Whether its conditions would have the user in it.
    standing : Standing
        What anti-flap makes of it.
    """

    name: str
    held: bool
    applies: bool
    standing: Standing


class Turn(NamedTuple):
    """When a membership changes if nothing happens.

    Parameters
    ----------
    at : int
        The moment in ms.
    then : str or None
        The segment of the same group held from then on.
    """

    at: int
    then: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule segment as a user stands to it.

    Parameters
    ----------
    segment : Segment
        The definition.
    member : bool
        Whether the user is in it.
    since : int or None
        Since when (ms) it is in it; None when it is not.
    turn : Turn or None
        When that changes if nothing happens; None if it never does.
    because : Because
        Why.
    when, leave_when : Part, Part or None
        Its conditions, part by part.
    standing : Standing
        What anti-flap holds back.
    before, after : tuple of Rival
        Those that come before it and after it.
    """

    segment: Segment
    member: bool
    since: int | None
    turn: Turn | None
    because: Because
    when: Part
    leave_when: Part | None
    standing: Standing
    before: tuple[Rival, ...]
    after: tuple[Rival, ...]

    def lengths(self) -> dict[str, int]:
        """Return how long anti-flap holds back what, in ms; 0 for not at all."""
        segment = self.segment
        return {
            "min_dwell": segment.min_dwell,
            "cooldown": segment.cooldown,
            "confirm_for": segment.confirm_for,
        }

    def line(self) -> dict[str, Any]:
        """Return the outcome alone, as JSON has it."""
        return {
            "segment": self.segment.name,
            "label": self.segment.label,
            "kind": "rule",
            "group": self.segment.group,
            "member": self.member,
            "since": moment(self.since),
            "until": moment(None if self.turn is None else self.turn.at),
            "then": None if self.turn is None else self.turn.then,
            "because": self.because._asdict(),
        }

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        segment, standing = self.segment, self.standing
        return self.line() | {
            "description": segment.description,
            "when": self.when.document(),
            "leave_when": None if self.leave_when is None else self.leave_when.document(),
            "anti_flap": {
                **{
                    name: format_duration(length) if length else None
                    for name, length in self.lengths().items()
                },
                **_standing(standing),
            },
            "group_order": [
                {
                    "segment": each.name,
                    "member": each.held,
                    "applies": each.applies,
                    **_standing(each.standing),
                }
                if isinstance(each, Rival)
                else {"segment": segment.name, "member": self.member}
                for each in (*self.before, None, *self.after)
            ]
            if segment.group
            else [],
        }


def rule(
    user: User,
    definitions: Definitions,
    name: str,
    moment_of: tuple[Sequence[State], int],
    turn: Turn | None,
) -> Rule:
    """Explain a rule segment.

    Parameters
    ----------
    user : User
        As decided at the moment.
    definitions : Definitions
        What decides.
    name : str
        The segment.
    moment_of : (sequence of State, int)
        The user's feature states and memberships, and the moment in ms.
    turn : Turn or None
        What is to come.
    """
    states, at = moment_of
    choice = choice_of(definitions, name)
    standing = {each.segment: each for each in standings(user, choice, states, at)}
    rivals = {
        each: Rival(each, each in user.held, applies(choice.by_name[each], user, states, at), standing[each])
        for each in choice.names
    }
    place = choice.names.index(name)
    segment = choice.by_name[name]
    when = explain(segment.when.node, definitions, states, at)
    leave = None
    if segment.leave_when is not None:
        leave = explain(segment.leave_when.node, definitions, states, at)
    return Rule(
        segment=segment,
        member=name in user.held,
        since=user.held[name][0] if name in user.held else None,
        turn=turn,
        because=_why_in(rivals[name], when, leave)
        if name in user.held
        else _why_out(rivals[name], choice, rivals, when),
        when=when,
        leave_when=leave,
        standing=standing[name],
        before=tuple(rivals[each] for each in choice.names[:place]),
        after=tuple(rivals[each] for each in choice.names[place + 1 :]),
    )


def choice_of(definitions: Definitions, name: str) -> Choice:
    """Return the segments among which one is chosen: those of its group, or it alone."""
    by_name = {segment.name: segment for segment in definitions.segments}
    groups = {group.name: group.segments for group in definitions.groups}
    group = by_name[name].group
    names = groups[group] if group is not None else (name,)
    return Choice([by_name[each] for each in names], group)


def applies(segment: Segment, user: User, states: Sequence[State], at: int) -> bool:
    """Return whether the conditions would have the user in the segment, anti-flap and the group aside."""
    leaving = segment.leave_when is not None and segment.leave_when.truth(states, at) is True
    if segment.name in user.held and segment.leave_when is not None:
        return not leaving
    return segment.when.truth(states, at) is True and not leaving


def _why_in(own: Rival, when: Part, leave: Part | None) -> Because:
    if own.standing.held_back == "leaving":
        kept = moment(own.standing.until)
        return Because("min_dwell", f"it would be left, but its min_dwell keeps it until {kept}")
    if leave is None:
        return Because("when", f"when is {_TRUTHS[when.truth]}")
    also = "" if when.truth is True else f", though when is {_TRUTHS[when.truth]} by now"
    return Because("leave_when", f"leave_when is {_TRUTHS[leave.truth]}{also}")


def _why_out(own: Rival, choice: Choice, rivals: dict[str, Rival], when: Part) -> Because:
    if not own.applies and when.truth is True:
        return Because("leave_when", "when is true, but so is leave_when, and then nobody enters")
    if not own.applies:
        return Because("when", f"when is {_TRUTHS[when.truth]}{_deciding(when)}")
    until = moment(own.standing.until)
    if own.standing.phase is Phase.COOLING:
        return Because("cooldown", f"it applies, but its cooldown keeps it from being entered until {until}")
    if own.standing.phase is Phase.CONFIRMING:
        return Because("confirm_for", f"it applies, but has to until {until} before it counts (confirm_for)")
    return _why_another(choice, next((each for each in rivals.values() if each.held), None))


def _deciding(part: Part) -> str:
    """Return which parts make a condition false or unknown, where it is not all of them."""
    found = [each for each in part.parts if each.truth is part.truth]
    if part.word != "and" or len(found) == len(part.parts):
        return ""
    return f": {', '.join(f'{each.text} is {_TRUTHS[each.truth]}' for each in found)}"


def _why_another(choice: Choice, held: Rival | None) -> Because:
    if held is None:
        return Because("due", "it applies, and the next decision enters it")
    if held.standing.held_back == "leaving":
        kept = moment(held.standing.until)
        return Because("min_dwell", f"it applies, but the min_dwell of {held.name} keeps that until {kept}")
    return Because("group", f"it applies, but so does {held.name}, which comes before it in {choice.group}")


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "phase": standing.phase.value,
        "phase_since": moment(standing.since),
        "phase_until": moment(standing.until),
        "held_back": standing.held_back,
    }
