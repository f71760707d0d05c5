"""``python -m tests.simulation``: schedules by the thousand, one in words, or those without a rule."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.campaign import FIRST, SCHEDULES, campaign, complaint, cut_down, ready, told
from tests.simulation.rules import MOST, REMOVALS, schedules_until_caught


def main() -> int:
    """Do what the command line says; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="tell this schedule in words")
    parser.add_argument("--shrink", action="store_true", help="cut the schedule down first, if it fails")
    parser.add_argument("--without", choices=REMOVALS, help="the rule that its workers do without")
    parser.add_argument("--rules", action="store_true", help="print the table of rules removed")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="how many to run")
    parser.add_argument("--first", type=int, default=FIRST, help="the first one's seed")
    given = parser.parse_args()
    if given.rules:
        return _rules()
    parts = REMOVALS[given.without].parts if given.without else None
    if given.seed is not None:
        outcome, trace = told(given.seed, parts)
        if given.shrink and outcome.broken:
            outcome, trace = cut_down(given.seed, parts)
        _print(*trace, outcome.broken or "all promises kept")
        return bool(outcome.broken)
    report = campaign(given.first, given.schedules, parts)
    if report.seed is not None:
        _print(complaint(report, given.without))
        return 1
    _print(
        f"{report.schedules:,} schedules, {report.turns:,} steps, {report.incarnations:,} incarnations begun: "
        "all promises kept"
    )
    return 0


def _rules() -> int:
    """Print the table of the README; return 1 if a removal was not noticed."""
    _print("| without | workers do instead | noticed after | what was seen first |", "|---|---|---|---|")
    unnoticed = 0
    for name, removal in REMOVALS.items():
        with ready():
            count, outcome = schedules_until_caught(name, MOST)
        seen = "nothing" if outcome is None else shortened(outcome.broken)
        unnoticed += outcome is None
        _print(f"| {removal.rule} | {removal.instead} | {count:,} | {seen} |")
    return bool(unnoticed)


def shortened(text: str, most: int = 120) -> str:
    """Return a text of at most so many characters.

    Examples
    --------
    >>> shortened("one answer, then another", most=14)
    'one answer, …'
    """
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]} …"


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
