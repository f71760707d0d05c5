"""Files of events: one JSON document per line, among which documents of sources may stand, each with its topic.

Examples
--------
>>> from segstream.core.sources import Mapping, compile_path
>>> crm = Mapping("crm", "crm", "identify", user=compile_path("id"), values={"plan": compile_path("plan")})
>>> event_line(b'{"topic": "crm", "value": {"id": "ada", "plan": "team"}}', 7, {"crm": crm})
b'{"messageId":"crm-7","type":"identify","userId":"ada","traits":{"plan":"team"}}'
>>> event_line(b'{"type": "page", "userId": "ada"}', 8, {"crm": crm})
b'{"type": "page", "userId": "ada"}'
"""

from __future__ import annotations

import collections.abc
from typing import Any

import orjson

from segstream.core.sources.mapping import Mapping
from segstream_schemas.events import EventError


def event_line(line: bytes, number: int, mappings: collections.abc.Mapping[str, Mapping]) -> bytes:
    """Return the event that a line holds, or that its source makes of it; else what no worker could read either.

    Parameters
    ----------
    line : bytes
        An event, or ``{"topic": ..., "value": ...}``.
    number : int
        The line's, which with the topic stands for a message id.
    mappings : mapping of str to Mapping
        By topic.
    """
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if not isinstance(document, dict) or document.keys() != {"topic", "value"}:
        return line
    topic, value = document["topic"], document["value"]
    mapping = mappings.get(topic) if isinstance(topic, str) else None
    if mapping is None or not isinstance(value, dict):
        return orjson.dumps(value)
    try:
        return orjson.dumps({"messageId": f"{topic}-{number}", **mapping.event(value)})
    except EventError:
        return orjson.dumps(value)
