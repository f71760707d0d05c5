"""The contracts for every other language and for editors. ``python -m tests.schemas`` brings them up to date.

=============================  ================================================================================
``schemas/json/``              JSON Schema (draft 7) of every record and Redis value, from `segstream_schemas`
``schemas/asyncapi.yaml``      topics, keys, headers and records (AsyncAPI 3.0)
``schemas/released/VERSION/``  the JSON Schemas of a release, never altered; the newest is what `test_released`
                               compares with. ``python -m tests.schemas release`` adds that of this version
=============================  ================================================================================
"""

from __future__ import annotations

import io
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel
from ruamel.yaml import YAML

from segstream.adapters.kafka.topics import Topics
from segstream.core.rerouting import SOURCE
from segstream.incoming import CLOCK_HEADER
from segstream_schemas import (
    Answer,
    Catalog,
    Change,
    DeadLetter,
    DefinitionsDocument,
    DiscoveryInfo,
    Event,
    Membership,
    Memberships,
    Published,
    SegmentInfo,
)
from segstream_schemas.json_schema import DIALECT, json_schema, summary

ROOT: Final = Path(__file__).parents[1]
JSON: Final = ROOT / "schemas" / "json"
RELEASED: Final = ROOT / "schemas" / "released"
ASYNCAPI: Final = ROOT / "schemas" / "asyncapi.yaml"


class Contract(NamedTuple):
    """A model others program against, and whether its JSON is taken in or told."""

    model: type[BaseModel]
    mode: Literal["in", "out"]


CONTRACTS: Final = {
    "event": Contract(Event, "in"),
    "definitions": Contract(DefinitionsDocument, "in"),
    "change": Contract(Change, "out"),
    "memberships": Contract(Memberships, "out"),
    "dead-letter": Contract(DeadLetter, "out"),
    "published": Contract(Published, "out"),
    "membership": Contract(Membership, "out"),
    "segment-info": Contract(SegmentInfo, "out"),
    "discovery-info": Contract(DiscoveryInfo, "out"),
    "answer": Contract(Answer, "out"),
    "catalog": Contract(Catalog, "out"),
}


def name_of(stem: str) -> str:
    """Return the name of a schema's file."""
    return f"{stem}.schema.json"


def schemas() -> dict[str, dict[str, Any]]:
    """Return all JSON Schemas by the names of their files."""
    found = {
        stem: {"$id": f"urn:segstream:{stem}:1", **json_schema(contract.model, mode=contract.mode)}
        for stem, contract in CONTRACTS.items()
    }
    found["event"] |= _event_rules()
    found["redis-answer"] = _redis_answer()
    found["redis-catalog"] = _redis_catalog()
    return {name_of(stem): schema for stem, schema in sorted(found.items())}


def _event_rules() -> dict[str, Any]:
    """Return what holds between an event's fields (see `segstream_schemas.events`), as far as a schema can say it."""
    given: dict[str, Any] = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
    return {
        "anyOf": [{"required": [name], "properties": {name: given}} for name in ("userId", "anonymousId")],
        "if": {"properties": {"type": {"const": "track"}}},
        "then": {"required": ["event"], "properties": {"event": {"type": "string", "minLength": 1}}},
    }


def _redis_answer() -> dict[str, Any]:
    number = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "$id": "urn:segstream:redis-answer:1",
        "$schema": DIALECT,
        "title": "RedisAnswer",
        "description": "The hash `segments:user:<id>`: its fields, each a text. Absent for a user without an answer.",
        "type": "object",
        "properties": {
            "v": {
                "type": "string",
                "pattern": "^[0-9]+:[0-9]+$",
                "description": "Incarnation and partition sequence: of two answers the one with the greater pair is later.",
            },
            "sequence": {**number, "description": "The user's last change."},
            "as_of": {
                "type": "string",
                "format": "date-time",
                "description": "When the last decision that changed the answer was made.",
            },
            "definitions_version": {**number, "description": "The definitions that decided."},
            "model_version": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "The snapshots that decided, by discovery: an object of numbers.",
            },
        },
        "patternProperties": {
            "^s:": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "A segment the user is in; the JSON is membership.schema.json.",
            },
            "^f:": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "An exposed feature's value.",
            },
        },
        "additionalProperties": {"type": "string"},
        "required": ["v", "sequence", "as_of", "definitions_version", "model_version"],
    }


def _redis_catalog() -> dict[str, Any]:
    number = {"type": "string", "pattern": "^[1-9][0-9]*$"}
    told = {"type": "string", "contentMediaType": "application/json"}
    return {
        "$id": "urn:segstream:redis-catalog:1",
        "$schema": DIALECT,
        "title": "RedisCatalog",
        "description": "The hash `segments:catalog`: its fields, each a text.",
        "type": "object",
        "properties": {
            "schema_version": {**number, "description": "Of the whole read model: 1."},
            "partitions": {
                **number,
                "description": "N: a segment's members are in `segments:members:<segment>:{p}`, p from 0 to N - 1.",
            },
            "definitions_version": {**number, "description": "The definitions described."},
        },
        "patternProperties": {
            "^segment:": {**told, "description": "A segment; the JSON is segment-info.schema.json."},
            "^discovered:": {
                **told,
                "description": "A model that finds segments; the JSON is discovery-info.schema.json.",
            },
        },
        "additionalProperties": {"type": "string"},
        "required": ["schema_version", "partitions", "definitions_version"],
    }


def version() -> str:
    """Return the version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


# ------------------------------------------------------------------------------------------- AsyncAPI

_USER_KEY: Final = {"type": "string", "description": "The user's id, as raw UTF-8."}


def _message(stem: str, title: str, key: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    contract = CONTRACTS[stem]
    found: dict[str, Any] = {
        "name": contract.model.__name__,
        "title": title,
        "summary": summary(contract.model),
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": {"$ref": f"json/{name_of(stem)}"},
        },
    }
    if key is not None:
        found["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    return found | more


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    topics = Topics()
    messages = {
        "event": _message(
            "event",
            "An event of the Segment spec",
            {"type": "string", "description": "The raw user id: `userId`, else `anon:` and `anonymousId`."},
        ),
        "clock": {
            "name": "Clock",
            "title": "The clock of a replay",
            "summary": "Moves a replay's clock, in every partition; refused where arrivals drive the clock.",
            "headers": {
                "type": "object",
                "required": [CLOCK_HEADER],
                "properties": {
                    CLOCK_HEADER: {
                        "type": "string",
                        "pattern": "^[0-9]+$",
                        "description": "Milliseconds since 1970, UTC: everything up to then has been sent.",
                    }
                },
            },
        },
        "forwarded": {
            "name": "Forwarded",
            "title": "An event in the partition of its user",
            "summary": "A record as it lay elsewhere: the same value, its own headers, and where it lay.",
            "headers": {
                "type": "object",
                "required": [SOURCE + name for name in ("topic", "partition", "offset", "timestamp")],
                "properties": {
                    f"{SOURCE}topic": {"type": "string", "description": "The topic it lay in."},
                    f"{SOURCE}partition": {"type": "string", "pattern": "^[0-9]+$"},
                    f"{SOURCE}offset": {"type": "string", "pattern": "^[0-9]+$"},
                    f"{SOURCE}timestamp": {
                        "type": "string",
                        "pattern": "^-?[0-9]+$",
                        "description": "When it arrived there, in milliseconds since 1970, UTC.",
                    },
                },
            },
            "bindings": {"kafka": {"key": _USER_KEY, "bindingVersion": "0.5.0"}},
        },
        "change": _message("change", "An entry into a segment or an exit", _USER_KEY),
        "memberships": _message("memberships", "A user's whole answer", _USER_KEY),
        "noMemberships": {
            "name": "NoMemberships",
            "title": "A tombstone",
            "summary": "The user is in no segment: a record without a value.",
            "payload": {"type": "null"},
            "bindings": {"kafka": {"key": _USER_KEY, "bindingVersion": "0.5.0"}},
        },
        "deadLetter": _message(
            "dead-letter",
            "A record that could not be applied",
            {"type": ["string", "null"], "description": "The original record's key."},
        ),
        "published": _message(
            "published",
            "How far a partition has been told",
            {"type": "string", "description": "The partition's transactional id: `<group>-<partition>`."},
        ),
        "sample": {
            "name": "Sample",
            "title": "Users' features for the trainer",
            "summary": "What a model learns from. Some may be lost; ids of users are not in it.",
            "contentType": "application/json",
            "payload": {
                "type": "object",
                "required": ["model", "recipe", "vectors"],
                "properties": {
                    "model": {"type": "string", "description": "Name of the discovery."},
                    "recipe": {"type": "string", "description": "Hash of what is learned, and how."},
                    "vectors": {
                        "type": "array",
                        "items": {"type": "array", "items": {"type": ["number", "null"]}},
                        "description": "One for each user: the model's inputs, null where unknown.",
                    },
                },
            },
        },
    }
    channels = {
        "events": _channel(
            topics.events[0],
            "Events in. Further input topics (SEGSTREAM_TOPICS) are alike; all have the same number of partitions.",
            ["event", "clock"],
        ),
        "changes": _channel(
            topics.changes,
            "Every entry and exit, once for a `read_committed` consumer, in `sequence` order per user.",
            ["change"],
        ),
        "memberships": _channel(
            topics.memberships,
            "Each user's present answer.",
            ["memberships", "noMemberships"],
            topicConfiguration={"cleanup.policy": ["compact"]},
        ),
        "deadLetters": _channel(
            topics.dead_letters, "Records that could not be applied, and why.", ["deadLetter"]
        ),
        "rerouted": _channel(
            topics.rerouted,
            "The workers' own: records that lay in another partition than their user's, forwarded, each applied once."
            " No interface, and nobody else writes here.",
            ["forwarded"],
        ),
        "published": _channel(
            topics.published,
            "The worker's own: the last thing told of each partition. No interface.",
            ["published"],
            topicConfiguration={"cleanup.policy": ["compact"]},
        ),
        "samples": _channel(
            topics.samples,
            "The worker's own: one partition, plain and lossy. No interface.",
            ["sample"],
            partitions=1,
        ),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "segstream",
            "version": version(),
            "description": (
                "Keeps every user's segments right, second by second. Times are RFC 3339 in UTC with milliseconds and"
                " `Z`; ids are strings. Within a schema version fields are only added, and enums are open: accept"
                " unknown fields and values. Topics are called as by default; settings may rename them."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "takeEvents": _operation("receive", "events"),
            "tellChanges": _operation("send", "changes"),
            "tellMemberships": _operation("send", "memberships"),
            "tellDeadLetters": _operation("send", "deadLetters"),
            "forward": _operation("send", "rerouted"),
            "tellPublished": _operation("send", "published"),
            "tellSamples": _operation("send", "samples"),
        },
        "components": {"messages": messages},
    }


def _channel(address: str, description: str, messages: list[str], **kafka: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if kafka:
        found["bindings"] = {"kafka": {**kafka, "bindingVersion": "0.5.0"}}
    return found


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


# ------------------------------------------------------------------------------------------- files


def files() -> dict[Path, str]:
    """Return the content of every file that follows from the models."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = False, 120, False  # type: ignore[assignment]  # as documented
    text = io.StringIO()
    yaml.dump(asyncapi(), text)
    found = {JSON / name: written(schema) for name, schema in schemas().items()}
    found[ASYNCAPI] = "# Written by `python -m tests.schemas`.\n" + text.getvalue()
    return found


def written(schema: dict[str, Any]) -> str:
    """Return a schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Bring the files up to date, and remove those that no model is behind any more."""
    wanted = files()
    JSON.mkdir(exist_ok=True)
    for path in JSON.glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        path.write_text(content, encoding="utf-8")


def release() -> None:
    """Keep the present schemas as those of this version.

    Raises
    ------
    FileExistsError
        If they are there already: what was released is never altered.
    """
    place = RELEASED / version()
    place.mkdir(parents=True)
    for name, schema in schemas().items():
        (place / name).write_text(written(schema), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["release"]:
        release()
    else:
        write()
    sys.stdout.write("schemas/ is up to date\n")
