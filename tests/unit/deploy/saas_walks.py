"""Ways through the segments of software that is sold as a service."""

from __future__ import annotations

from typing import Final

from segstream.core.time import DAY, HOUR
from tests.unit.deploy.retail_walks import tell
from tests.unit.deploy.walks import Document, Walk, at, do, entered, exited, gone


def use(day: float, feature: int = 0) -> Document:
    """Return one use of a feature."""
    return do("Feature Used", day, feature=f"f{feature}")


def answer(day: float, score: int) -> Document:
    """Return an answer to whether somebody would recommend us."""
    return do("Survey Answered", day, survey="nps", score=score)


def satisfied(score: int, segment: str) -> Walk:
    """Return the way of an answer that is forgotten after half a year; another survey beside it counts for nothing."""
    return Walk(
        f"answers {score}",
        [do("Survey Answered", 0, survey="onboarding", score=1), answer(1, score)],
        [entered(segment, at(1)), exited(segment, at(181, 1), "timer")],
        of=("detractor", "passive", "promoter"),
    )


FALLING: Final = [use(day + turn / 24) for day in range(21) for turn in range(2)]
"""Two uses a day for three weeks. What is left of the last week is below half of the usual when day 18 leaves it: then
it is 4, and the three weeks before hold 38, a sixth of which is 6.33. (When day 17 leaves it is 6 of 36: not below.)"""

SAAS: Final = [
    Walk(
        "signs up, gets going and falls silent",
        [do("Signed Up", 0), use(1, 0), use(2, 1), use(3, 2)],
        [
            entered("new", at(0)),
            exited("new", at(3)),
            entered("activated", at(3)),
            exited("activated", gone(3, 28), "timer"),
        ],
    ),
    Walk(
        "signs up and does nothing",
        [do("Signed Up", 0)],
        [entered("new", at(0)), exited("new", at(14, 1), "timer")],
        of=("new", "activated"),
    ),
    Walk(
        "lets the trial run out",
        [do("Trial Started", 0), tell(0, plan="trial")],
        [entered("trial_ending", at(11), "timer"), exited("trial_ending", at(14), "timer")],
    ),
    Walk(
        "buys before the trial ends",
        [do("Trial Started", 0), tell(0, plan="trial"), tell(12, plan="team")],
        [entered("trial_ending", at(11), "timer"), exited("trial_ending", at(12))],
    ),
    Walk(
        "ends the trial, and begins another",
        [do("Trial Started", 0), do("Trial Ended", 12), do("Trial Started", 100)],
        [
            entered("trial_ending", at(11), "timer"),
            exited("trial_ending", at(12)),
            entered("trial_ending", at(111), "timer"),
            exited("trial_ending", at(114), "timer"),
        ],
    ),
    Walk(
        "learns it, and forgets it",
        [use(day, min(day, 5)) for day in range(8)],
        [
            entered("basic", at(0)),
            exited("basic", at(7)),
            entered("advanced", at(7)),
            # Six features, of which three are left then.
            exited("advanced", gone(2, 28), "timer"),
            entered("basic", gone(2, 28), "timer"),
            exited("basic", gone(7, 28), "timer"),
        ],
    ),
    Walk(
        "uses one feature, then four",
        [do("Signed Up", 0), *(use(day) for day in range(20, 28)), use(40, 1), use(40.1, 2), use(40.2, 3)],
        [entered("under_adopter", at(31, 1), "timer"), exited("under_adopter", at(40.2))],
    ),
    Walk(
        "uses one feature, then none",
        [do("Signed Up", 0), *(use(day) for day in range(20, 28))],
        [
            entered("under_adopter", at(31, 1), "timer"),
            exited("under_adopter", gone(24, 28), "timer"),
        ],
    ),
    Walk(
        "uses it less, then more than ever",
        [*FALLING, *(use(31 + turn / 24) for turn in range(9))],
        [
            entered("usage_falling", gone(18, 7) + DAY, "timer"),
            # The weeks before hold 36 by then.
            exited("usage_falling", at(31 + 8 / 24)),
        ],
        until=32,
    ),
    Walk(
        "uses it less, then not at all",
        FALLING,
        [
            entered("usage_falling", gone(18, 7) + DAY, "timer"),
            exited("usage_falling", gone(18, 28), "timer"),
        ],
    ),
    Walk(
        "runs into limits, and buys more",
        [
            *(tell(0, plan="team"), *(use(day) for day in range(8))),
            *(do("Limit Reached", 8 + turn / 24) for turn in range(3)),
            tell(20, plan="enterprise"),
        ],
        [
            entered("expansion_candidate", at(8 + 2 / 24)),
            exited("expansion_candidate", at(20)),
        ],
    ),
    Walk(
        "invites colleagues, and falls silent",
        [
            *(tell(0, plan="starter"), *(use(day) for day in range(8))),
            *(do("Invite Sent", 8 + turn / 24) for turn in range(3)),
        ],
        [
            entered("expansion_candidate", at(8 + 2 / 24)),
            exited("expansion_candidate", gone(4, 28), "timer"),
        ],
    ),
    *map(satisfied, (0, 6, 7, 8, 9, 10), ("detractor",) * 2 + ("passive",) * 2 + ("promoter",) * 2),
    Walk(
        "is won over step by step, and lost at once",
        [answer(0, 3), answer(10, 8), answer(20, 10), answer(30, 0)],
        [
            entered("detractor", at(0)),
            exited("detractor", at(10)),
            entered("passive", at(10)),
            exited("passive", at(20)),
            entered("promoter", at(20)),
            exited("promoter", at(30)),
            entered("detractor", at(30)),
        ],
        until=40,
    ),
    Walk(
        "asks support three times",
        [do("Ticket Opened", 0), do("Ticket Opened", 1), do("Ticket Opened", 2)],
        [entered("heavy_support", at(2)), exited("heavy_support", gone(2, 30, HOUR), "timer")],
    ),
]
