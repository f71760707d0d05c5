"""What sets two versions of the definitions apart, by what they mean.

Examples
--------
>>> from segstream.core.definitions import read_definitions
>>> old = read_definitions(
...     '''
... version: 1
... features: {orders: {op: count}, visits: {op: count, type: page, window: 24h}}
... segments: {loyal: {when: orders >= 3}}
... '''
... )
>>> new = read_definitions(
...     '''
... version: 1
... features: {bought: {op: count}, visits: {op: count, window: 1d, type: page}}
... segments: {loyal: {when: bought >= 5}}
... '''
... )
>>> for each in differences(old, new):
...     print(each.section, each.name, each.change, each.former, each.before, each.after)
feature bought renamed orders {op: count} {op: count}
segment loyal changed None {when: orders >= 3} {when: bought >= 5}
>>> fresh_features(old, new)
[]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from segstream.core.definitions import Definitions

_WORDS: Final = {"sources": "source", "features": "feature", "segments": "segment", "groups": "group"}
_OF_FEATURES: Final = "descriptions"
"""What a feature means stands in two sections: descriptions do not bear on what is kept."""


class Difference(NamedTuple):
    """A part of the definitions that is not in both, or means something else.

    Parameters
    ----------
    section : str
        ``source``, ``feature`` (a trait is one), ``segment``, ``group`` or ``discovered``.
    name : str
        As it is called now, or was called last.
    change : str
        ``added``, ``removed``, ``changed``, or ``renamed`` for what goes on under another name.
    former : str or None
        The name before, where it was renamed.
    before, after : str or None
        How it was written and is written, in one line.
    """

    section: str
    name: str
    change: str
    former: str | None
    before: str | None
    after: str | None


def differences(old: Definitions | None, new: Definitions) -> list[Difference]:
    """Return what sets ``new`` apart from ``old``, section by section; order and spelling are no difference.

    Parameters
    ----------
    old : Definitions or None
        None: there was nothing before.
    new : Definitions
    """
    found: list[Difference] = []
    for section in dict.fromkeys((*(old.meaning if old else ()), *new.meaning)):
        if section != _OF_FEATURES:
            found += _section(section, old, new)
    return found


def fresh_features(old: Definitions | None, new: Definitions) -> list[str]:
    """Return the features and traits of ``new`` that begin without anything kept: ``old`` has none of that meaning."""
    kept = set() if old is None else {feature.fingerprint for feature in old.features}
    return [feature.name for feature in new.features if feature.fingerprint not in kept]


def counted_since(newest_first: Iterable[Definitions]) -> dict[str, int]:
    """Return since how many versions each feature and trait of the newest counts without a break; 0: since the newest.

    Parameters
    ----------
    newest_first : iterable of Definitions
        Read no further back than needed.

    Examples
    --------
    >>> from segstream.core.definitions import read_definitions
    >>> texts = ["a: {op: count}", "a: {op: count}, b: {op: last_time}", "c: {op: count}, b: {op: last_time}"]
    >>> versions = [read_definitions(f"{{version: 1, features: {{{text}}}}}") for text in texts]
    >>> counted_since(reversed(versions))
    {'b': 1, 'c': 2}
    """
    since: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for back, definitions in enumerate(newest_first):
        if back == 0:
            for feature in definitions.features:
                names.setdefault(feature.fingerprint, []).append(feature.name)
                since[feature.name] = 0
            continue
        kept = {feature.fingerprint for feature in definitions.features}
        names = {fingerprint: told for fingerprint, told in names.items() if fingerprint in kept}
        if not names:
            break
        since |= {name: back for told in names.values() for name in told}
    return since


def _section(section: str, old: Definitions | None, new: Definitions) -> list[Difference]:
    before, after = _meanings(section, old), _meanings(section, new)
    renamed = _renamed(section, old, new)
    word, found = _WORDS.get(section, section), []
    for name, meaning in after.items():
        former = renamed.get(name)
        was = _text(section, former or name, old) if (former or name) in before else None
        if former is not None:
            change = "renamed"
        elif name not in before:
            change = "added"
        elif before[name] != meaning:
            change = "changed"
        else:
            continue
        found.append(Difference(word, name, change, former, was, _text(section, name, new)))
    gone = before.keys() - after.keys() - set(renamed.values())
    found += [
        Difference(word, name, "removed", None, _text(section, name, old), None)
        for name in before
        if name in gone
    ]
    return found


def _meanings(section: str, definitions: Definitions | None) -> Mapping[str, Any]:
    if definitions is None:
        return {}
    meanings = definitions.meaning.get(section, {})
    if section != "features":
        return meanings
    told = definitions.meaning[_OF_FEATURES]
    return {name: (meaning, told.get(name)) for name, meaning in meanings.items()}


def _renamed(section: str, old: Definitions | None, new: Definitions) -> dict[str, str]:
    """Return the former names of what goes on under new ones."""
    if old is None:
        return {}
    if section == "segments":
        known = {segment.name for segment in old.segments}
        return {
            segment.name: segment.renamed_from
            for segment in new.segments
            if segment.renamed_from in known and segment.name not in known and segment.renamed_from
        }
    if section != "features":
        return {}
    names = {feature.name for feature in new.features}, {feature.name for feature in old.features}
    gone = {feature.fingerprint: feature.name for feature in old.features if feature.name not in names[0]}
    return {
        feature.name: gone.pop(feature.fingerprint)
        for feature in new.features
        if feature.name not in names[1] and feature.fingerprint in gone
    }


def _text(section: str, name: str, definitions: Definitions | None) -> str:
    if definitions is None:
        return ""
    document: Any = definitions.document
    if section == "features" and name.startswith("traits."):
        return str(document.traits[name.removeprefix("traits.")])
    part = getattr(document, section, {}).get(name)
    return _line(
        part.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        if isinstance(part, BaseModel)
        else part
    )


def _line(value: Any) -> str:
    """Write a value in one line, much as YAML does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_line(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
