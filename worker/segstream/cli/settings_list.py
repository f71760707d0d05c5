"""What ``segstream settings`` lists: each setting's variable, meaning, default and present value, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args
from urllib.parse import urlsplit

from annotated_types import Ge, Le
from pydantic import SecretStr

from segstream.core.time import format_duration
from segstream.settings import PREFIX, Milliseconds, Settings, sources

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HIDDEN = "**********"


class Listed(NamedTuple):
    """A setting as it is listed.

    Parameters
    ----------
    variable : str
    value : str or None
        As one would write it, None where it is not set; what is secret in it is hidden.
    default : str
        The same of the default, empty where there is none.
    source : str
        ``default``, ``environment``, or the file it was read from.
    allowed : str
        What it may be, in Markdown.
    meaning : str
    """

    variable: str
    value: str | None
    default: str
    source: str
    allowed: str
    meaning: str


def listed(now: Settings) -> list[Listed]:
    """Return all settings as they are now."""
    found = sources()
    return [
        Listed(
            f"{PREFIX}{name.upper()}",
            _written(getattr(now, name), field),
            _written(field.default, field) or "",
            found.get(name, "default"),
            _allowed(field),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def settings_table() -> str:
    """Return all settings as a table in Markdown: what each means, what it may be, and what it is if not set."""
    rows = ["| variable | default | may be | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _default(field)
        cells = f"`{default}`" if default else "", _allowed(field), field.description or ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {' | '.join(cells)} |")
    return "\n".join(rows)


_KINDS = (
    ("bool", "`true` or `false`"),
    ("int", "whole number"),
    ("tuple", "names"),
    ("Path", "file"),
    ("SecretStr", "text, kept out of logs"),
)


def _is_duration(field: FieldInfo) -> bool:
    return get_args(Milliseconds)[1] in field.metadata


def _default(field: FieldInfo) -> str:
    return _written(field.default, field) or ""


def _allowed(field: FieldInfo) -> str:
    """Say what a setting may be."""
    written = str(field.annotation)
    if "Literal" in written:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    duration = _is_duration(field)
    kind = "duration" if duration else next((words for name, words in _KINDS if name in written), "text")
    show = format_duration if duration else "{:,}".format
    least = [show(int(str(part.ge))) for part in field.metadata if isinstance(part, Ge) and part.ge != 0]
    most = [show(int(str(part.le))) for part in field.metadata if isinstance(part, Le)]
    return ", ".join([kind, *(f"from {end}" for end in least), *(f"up to {end}" for end in most)])


def _written(value: object, field: FieldInfo) -> str | None:
    """Return a value as one would write it into the variable."""
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return masked(value.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if _is_duration(field):
        return format_duration(int(str(value)))
    return str(value)


def masked(secret: str) -> str:
    """Return a secret so that it may be shown: of a URL, where it leads to.

    Examples
    --------
    >>> masked("rediss://someone:hunter2@redis.example:6380/0?password=hunter2")
    'rediss://**********@redis.example:6380/0'
    >>> masked("redis://localhost:6379/0"), masked("hunter2")
    ('redis://localhost:6379/0', '**********')
    """
    try:
        parts = urlsplit(secret)
    except ValueError:
        return HIDDEN
    login, at, host = parts.netloc.rpartition("@")
    # A password that is not percent-encoded may end the host too early: then nothing is shown.
    if parts.scheme not in ("redis", "rediss", "unix") or ("@" in secret and not at) or "@" in parts.path:
        return HIDDEN
    return f"{parts.scheme}://{HIDDEN if login else ''}{at}{host}{parts.path}"
