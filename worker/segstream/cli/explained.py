"""An explanation in words: as a tree on a terminal, by indentation elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from segstream.cli.tables import print_table, visible
from segstream.core.explanations.conditions import moment
from segstream.core.time import format_duration, format_time

if TYPE_CHECKING:
    from segstream.core.antiflap import Standing
    from segstream.core.explanations import Explainer, Nearest, Part, Rival, Rule
    from segstream.explaining import Evidence

_TRUTHS = {True: "true", False: "false", None: "unknown"}
_STYLES = {True: "green", False: "red", None: "yellow"}


@dataclass
class Line:
    """A line and those below it.

    Parameters
    ----------
    text : str
        Plain text.
    truth : bool or None
        What a terminal colours the line by, if ``judged``.
    judged : bool
        Whether it is about something true, false or unknown.
    below : list of Line
    """

    text: str
    truth: bool | None = None
    judged: bool = False
    below: list[Self] = field(default_factory=list)


def show_all(evidence: Evidence, explainer: Explainer) -> None:
    """Print a line for each segment."""
    _say(f"user {evidence.user.name}, as of {format_time(explainer.at)}, {_versions(explainer)}")
    rows = []
    for name in explainer.rules():
        rule = explainer.rule(name)
        since, until = moment(rule.since), _until(rule)
        rows.append((f"  {name}", _in(member=rule.member), since or "", until, rule.because.text))
    for name in explainer.models():
        found = explainer.model(name)
        member = found.held is not None
        rows.append(
            (f"  {found.held or name}", _in(member=member), moment(found.since) or "", "", found.because())
        )
    print_table(("  segment", "", "since", "until, if nothing happens", "because"), rows, fold=4)


def show(evidence: Evidence, explainer: Explainer, kind: str, name: str, asked: str) -> None:
    """Print why a user is or is not in one segment.

    Parameters
    ----------
    evidence, explainer
        What is known, and of which moment.
    kind, name : str
        ``rule`` and a segment's name, or ``model`` and a segmentation's.
    asked : str
        The name as given.
    """
    if kind == "rule":
        lines = _of_rule(evidence, explainer, explainer.rule(name))
    else:
        lines = _of_model(evidence, explainer, explainer.model(name), asked)
    _print(lines)


def _of_rule(evidence: Evidence, explainer: Explainer, rule: Rule) -> list[Line]:
    name, label = rule.segment.name, rule.segment.label
    titled = name if label == name else f"{name} ({label})"
    at = format_time(explainer.at)
    lines = [
        Line(
            f"user {evidence.user.name} is {_in(member=rule.member)} {titled} as of {at}, {_versions(explainer)}"
        )
    ]
    lines.append(Line(f"because {rule.because.text}"))
    if rule.since is not None:
        lines.append(Line(f"in it since {format_time(rule.since)}"))
    lines.append(Line(f"if nothing happens: {_ahead(rule)}"))
    if (name in evidence.user.held) is not rule.member:
        lines.append(
            Line(
                f"stored still: {_in(member=not rule.member)}, as of {format_time(evidence.user.decided_at)}"
            )
        )
    lines.append(_condition("when", rule.when))
    if rule.leave_when is not None:
        lines.append(_condition("leave_when", rule.leave_when))
    if any(rule.lengths().values()):
        lines.append(Line(_anti_flap(rule)))
    if rule.segment.group is not None:
        below = [Line(_rival(each)) for each in rule.before]
        below.append(Line(f"{name}: {_in(member=rule.member)} (this one)"))
        below += [Line(_rival(each)) for each in rule.after]
        lines.append(Line(f"group {rule.segment.group}: the first that applies is held", below=below))
    return lines


def _ahead(rule: Rule) -> str:
    if rule.turn is None:
        return "stays so"
    until = moment(rule.turn.at)
    if not rule.member:
        return f"enters at {until}"
    return f"until {until}, then {rule.turn.then or 'out of it'}"


def _until(rule: Rule) -> str:
    if rule.turn is None:
        return ""
    return f"{moment(rule.turn.at)}, then {rule.turn.then or ('out' if rule.member else 'in')}"


def _condition(word: str, part: Part) -> Line:
    whole = _part(part)
    if part.parts:
        return Line(f"{word} is {whole.text}", part.truth, judged=True, below=whole.below)
    return Line(f"{word} is {_TRUTHS[part.truth]}", part.truth, judged=True, below=[whole])


def _part(part: Part) -> Line:
    text = _TRUTHS[part.truth]
    if part.since is not None:
        text += f" since {moment(part.since)}"
    if (until := moment(part.until)) is not None:
        text += f" until {until}"
    if part.parts:
        words = {"and": "all of", "or": "any of", "not": "not"}
        return Line(
            f"{text}: {words[part.word]}", part.truth, judged=True, below=[_part(each) for each in part.parts]
        )
    return Line(
        f"{text}: {part.text}{_values(part)}",
        part.truth,
        judged=True,
        below=[Line(f"{_TRUTHS[way.becomes]} by {way.text}") for way in part.ways],
    )


def _values(part: Part) -> str:
    told = [f"{name} is {_written(value)}" for name, value in part.inputs.items()]
    plain = len(part.inputs) == 1 and part.value in part.inputs.values()
    if not plain and part.threshold is not None and not isinstance(part.threshold, list):
        told.append(f"that is {_written(part.value)} against {_written(part.threshold)}")
    return f" ({', '.join(told)})" if told else ""


def _anti_flap(rule: Rule) -> str:
    lengths = ", ".join(f"{name} {format_duration(each)}" for name, each in rule.lengths().items() if each)
    return f"anti-flap ({lengths}): {_standing(rule.standing)}"


def _standing(standing: Standing) -> str:
    if standing.until is None:
        return "holds back nothing now"
    text = f"{standing.phase.value} since {moment(standing.since)} until {moment(standing.until)}"
    return f"{text}, holds back {standing.held_back}" if standing.held_back else text


def _rival(rival: Rival) -> str:
    applies = "applies" if rival.applies else "does not apply"
    held_back = f", {_standing(rival.standing)}" if rival.standing.held_back else ""
    return f"{rival.name}: {_in(member=rival.held)}, {applies}{held_back}"


def _of_model(evidence: Evidence, explainer: Explainer, found: Nearest, asked: str) -> list[Line]:
    at, name = format_time(explainer.at), evidence.user.name
    if found.held is None:
        head = f"user {name} is in no segment of {found.model}"
    elif asked in {found.model, found.held}:
        head = f"user {name} is in {found.held}"
    else:
        head = f"user {name} is not in {asked} but in {found.held}"
    lines = [Line(f"{head} as of {at}, {_versions(explainer)}"), Line(f"because {found.because()}")]
    if found.since is not None:
        lines.append(Line(f"in it since {format_time(found.since)}"))
    values = [Line(f"{text} is {_written(value)}") for text, value in found.values.items()]
    lines.append(Line("measured by (what is unknown counts as the average)", below=values))
    centres = [
        Line(
            f"{centre.distance:.2f} from {centre.segment} ({centre.label}): "
            + ", ".join(f"{text} {_written(value)}" for text, value in centre.values.items())
        )
        for centre in found.centres
    ]
    if centres:
        lines.append(Line(f"centres of version {found.version}, nearest first", below=centres))
    return lines


def _versions(explainer: Explainer) -> str:
    return f"by definitions version {explainer.decider.basis.definitions}"


def _in(*, member: bool) -> str:
    return "in" if member else "not in"


def _written(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _say(text: str) -> None:
    sys.stdout.write(f"{visible(text)}\n")


def _print(lines: list[Line]) -> None:
    if not sys.stdout.isatty():
        _indented(lines, 0)
        sys.stdout.flush()
        return
    console = Console(highlight=False)
    for line in lines:
        console.print(_branch(line))


def _indented(lines: list[Line], depth: int) -> None:
    for line in lines:
        _say(f"{'  ' * depth}{line.text}")
        _indented(line.below, depth + 1)


def _branch(line: Line) -> Tree:
    style = _STYLES[line.truth] if line.judged else ""
    tree = Tree(Text(visible(line.text), style), guide_style="dim")
    tree.children.extend(_branch(each) for each in line.below)
    return tree
