"""What a consumer of the changes may rely on, checked by following them."""

from __future__ import annotations

from typing import Any

from segstream.core.time import parse_time

Change = dict[str, Any]
Stories = dict[str, list[Change]]


def follow(user: str, changes: list[Change]) -> dict[str, int | None]:
    """Return a user's segments, and since when (ms), by following the changes; fail where they contradict.

    In each incarnation, and these do not go back, sequences are 1, 2, 3 … without gap or repeat. The time of rules does
    not go back (when a model comes is another matter), one enters only what one is not in and leaves only what one is
    in, not before one entered, and after each record the segments are those it names.

    Parameters
    ----------
    user : str
        For the message.
    changes : list of dict
        As consumers get them.

    Returns
    -------
    dict of str to int or None
        None where an earlier incarnation knows since when.
    """
    held: dict[str, int | None] = {}
    incarnation = moment = sequence = 0
    for change in changes:
        assert change["incarnation"] >= incarnation, f"user {user}: back to an earlier incarnation, {change}"
        if change["incarnation"] > incarnation:
            incarnation, sequence, moment, held = change["incarnation"], 0, 0, {}
        sequence += 1
        assert change["sequence"] == sequence, (
            f"user {user}, incarnation {incarnation}: sequence {change['sequence']} where {sequence} comes next"
        )
        at = parse_time(change["at"])
        if change["kind"] == "rule":
            assert at >= moment, f"user {user}: time goes back, {change}"
            moment = at
        segment = change["segment"]
        if change["change"] == "entered":
            assert segment not in held, f"user {user}: entered again, {change}"
            held[segment] = at
        elif change["change"] == "renamed":
            assert segment not in held, f"user {user}: entered again, {change}"
            held[segment] = held.pop(change["previous"])
        elif change["change"] == "restated":
            assert sequence == 1, f"user {user}: restated in the middle of an incarnation, {change}"
            held = dict.fromkeys(change["segments"])
        else:
            assert change["change"] == "exited", f"user {user}: {change}"
            assert segment in held, f"user {user}: left what was not entered, {change}"
            assert (held.pop(segment) or 0) <= at, f"user {user}: left before entering, {change}"
        assert change["segments"] == sorted(held), f"user {user}: not in {sorted(held)}, {change}"
    return held
