"""A change in one line for a person.

Examples
--------
>>> change = {
...     "user_id": "00042",
...     "segment": "at_risk",
...     "change": "entered",
...     "cause": {"type": "timer"},
...     "reasons": [
...         {
...             "condition": "orders >= 2 and since(last_order) > 60d",
...             "after": True,
...             "inputs": {
...                 "orders": {"before": 2, "after": 2},
...                 "since(last_order)": {"before": "60d", "after": "60d1ms"},
...             },
...         }
...     ],
... }
>>> tell(change, {"at_risk": {"orders >= 2 and since(last_order) > 60d"}})
'00042 entered at_risk: since(last_order) > 60d, by timer'
>>> tell(change | {"reasons": []}, {})
'00042 entered at_risk, by timer'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def tell(change: Mapping[str, Any], conditions: Mapping[str, Collection[str]]) -> str:
    """Return who entered or left what, why, and by which cause.

    Parameters
    ----------
    change : mapping
        A record of ``segment-changes``.
    conditions : mapping of str to collection of str
        The conditions of each segment, where they are known: those tell more about it than others of its group do.
    """
    segment = change["segment"]
    if change["change"] == "renamed":
        return f"{change['user_id']} is in {segment}, until now {change['previous']}, by {change['cause']['type']}"
    line = f"{change['user_id']} {change['change']} {segment or 'anew'}"
    why = _why(change["reasons"], conditions.get(segment, ()), entered=change["change"] == "entered")
    return f"{line}: {why}, by {change['cause']['type']}" if why else f"{line}, by {change['cause']['type']}"


def _why(reasons: list[Mapping[str, Any]], own: Collection[str], *, entered: bool) -> str:
    if not reasons:
        return ""
    # In a group the conditions of the segment that was left come first, those of the one that was entered last.
    likely = (
        next((reason for reason in reversed(reasons) if reason["after"]), reasons[0])
        if entered
        else reasons[0]
    )
    reason = next((reason for reason in reasons if reason["condition"] in own), likely)
    moved = [text for text, values in reason["inputs"].items() if values["before"] != values["after"]]
    parts = list(split(reason["condition"]))
    told = " and ".join(part for part in parts if any(text in part for text in moved)) or reason["condition"]
    return told if reason["after"] else f"no longer {told}"


def split(condition: str) -> Iterator[str]:
    """Yield the parts of a condition that all have to hold; the whole where they are not joined by ``and`` alone.

    Examples
    --------
    >>> list(split("a > 1 and (b or c)")), list(split("a and b or c"))
    (['a > 1', '(b or c)'], ['a and b or c'])
    """
    words, depth, part, parts = condition.split(" "), 0, list[str](), list[str]()
    for word in words:
        if depth == 0 and word in {"or", "not"}:
            yield condition
            return
        if depth == 0 and word == "and":
            parts.append(" ".join(part))
            part = []
            continue
        depth += word.count("(") - word.count(")")
        part.append(word)
    yield from (*parts, " ".join(part))
