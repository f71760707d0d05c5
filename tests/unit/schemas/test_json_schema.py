"""JSON Schema and AsyncAPI, for every other language: current, valid, and true."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError
from ruamel.yaml import YAML

from segstream.adapters.kafka.topics import Topics
from segstream.catalog import catalog_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.ports import View
from segstream.views import encode
from segstream_schemas import Event, Membership, change_id
from tests.schemas import ASYNCAPI, CONTRACTS, JSON, files, name_of, schemas

ASYNCAPI_SCHEMA = Path(__file__).parents[2] / "data" / "asyncapi-3.0.0.json.xz"
AT = "1997-06-11T00:00:00.001Z"

CHANGE: dict[str, Any] = {
    "schema_version": 1,
    "id": change_id("00042", 1, 7),
    "user_id": "00042",
    "incarnation": 1,
    "sequence": 7,
    "segment": "at_risk",
    "kind": "rule",
    "group": "lifecycle",
    "change": "entered",
    "previous": None,
    "at": AT,
    "processed_at": AT,
    "expires_at": None,
    "cause": {"type": "event", "message_id": "m", "topic": "events", "partition": 0, "offset": 1},
    "reasons": [
        {
            "condition": "orders >= 2",
            "before": None,
            "after": True,
            "inputs": {"orders": {"before": 1, "after": 2}},
        }
    ],
    "segments": ["at_risk"],
    "definitions_version": 3,
    "model_version": {"behaviour": 12},
}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "change": [
        CHANGE,
        CHANGE | {"segment": None, "kind": None, "change": "restated", "cause": {"type": "recovery"}},
    ],
    "memberships": [
        {
            "schema_version": 1,
            "user_id": "7",
            "incarnation": 1,
            "sequence": 7,
            "segments": {"at_risk": {"since": AT, "expires_at": AT}},
            "at": AT,
            "definitions_version": 3,
            "model_version": {},
        }
    ],
    "dead-letter": [
        {
            "schema_version": 1,
            "topic": "events",
            "partition": 2,
            "offset": 17,
            "reason": "not_json",
            "message": "Send JSON.",
            "where": "line 1",
            "value": "aGVsbG8=",
            "key": None,
            "headers": [["trace", "YWI="], ["none", None]],
            "value_length": 5,
            "truncated": False,
        }
    ],
    "published": [{"incarnation": 1, "epoch": 4, "partition_sequence": 1733}],
    "event": [{"type": "page", "userId": 42, "properties": {"path": "/"}, "plan": "gold", "name": None}],
    "membership": [{"since": AT, "expires_at": None}],
    "segment-info": [{"kind": "rule", "label": "At risk", "group": "lifecycle"}],
    "discovery-info": [{"kind": "discovered", "clusters": 6, "inputs": ["orders"]}],
    "catalog": [
        {
            "schema_version": 1,
            "partitions": 4,
            "definitions_version": 3,
            "segments": {"loyal": {"kind": "rule"}},
        }
    ],
    "answer": [
        {
            "user_id": "7",
            "incarnation": 1,
            "partition_sequence": 335,
            "sequence": 7,
            "as_of": AT,
            "definitions_version": 3,
            "model_version": {},
            "segments": {"at_risk": {"since": AT, "expires_at": None}},
            "features": {"orders": 2, "city": "Wien", "age": None, "vip": True},
        }
    ],
    "definitions": [{"version": 1}],
}


def check(name: str, document: object) -> None:
    """Raise where a document does not fit the schema in the file."""
    schema = json.loads((JSON / name_of(name)).read_text(encoding="utf-8"))
    Draft7Validator(schema).validate(document)


def test_the_files_are_current() -> None:
    """What is checked in is what the models say: else `python -m tests.schemas`."""
    wanted = files()
    assert {path for path in JSON.iterdir() if path not in wanted} == set()
    for path, content in wanted.items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is stale: python -m tests.schemas"


@pytest.mark.parametrize("name", sorted(schemas()))
def test_each_is_a_valid_schema_in_which_every_field_is_described(name: str) -> None:
    """Of draft 7, and of use to who reads only that."""
    schema = schemas()[name]
    Draft7Validator.check_schema(schema)
    assert schema["description"]
    for part in (schema, *schema.get("definitions", {}).values()):
        assert ">>>" not in part.get("description", "")
        assert "``" not in part.get("description", "")
    stem = name.removesuffix(".schema.json")
    if stem not in {"event", "membership"}:  # fields of the Segment spec; of two whose summary says it all
        assert {field for field, found in schema["properties"].items() if "description" not in found} == set()


@pytest.mark.parametrize("stem", sorted(CONTRACTS))
def test_schema_and_model_accept_the_same_examples(stem: str) -> None:
    """And what the model writes fits the schema again; without a required field neither accepts it."""
    model = CONTRACTS[stem].model
    for example in EXAMPLES[stem]:
        check(stem, example)
        written = model.model_validate(example).model_dump_json(by_alias=True)
        check(stem, json.loads(written))
        check(stem, example | ({} if stem == "definitions" else {"added_later": 1}))
        for name in schemas()[name_of(stem)].get("required", ()):
            less = {field: value for field, value in example.items() if field != name}
            assert not accepts(stem, less)
            with pytest.raises(ValidationError):
                model.model_validate(less)


def accepts(stem: str, document: object) -> bool:
    """Tell whether a document fits a schema."""
    return bool(Draft7Validator(schemas()[name_of(stem)]).is_valid(document))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "track", "userId": "1", "event": "Order Completed"},
        {"type": "track", "userId": "1"},
        {"type": "track", "userId": "1", "event": ""},
        {"type": "page"},
        {"type": "page", "userId": ""},
        {"type": "page", "userId": "", "anonymousId": "x"},
        {"type": "page", "userId": None, "anonymousId": 7},
        {"type": "page", "userId": True},
        {"type": "Page", "userId": "1"},
        {"userId": "1"},
        {"type": "identify", "userId": "1", "traits": {"age": 3}},
        {"type": "identify", "userId": "1", "traits": [3]},
        {"type": "screen", "userId": 1.5},
        {"type": "page", "userId": "1", "timestamp": 865987200000},
    ],
)
def test_an_event_is_judged_alike_by_schema_and_model(event: dict[str, Any]) -> None:
    """So a producer in any language can check what it sends."""
    try:
        Event.model_validate(event)
    except ValidationError:
        taken = False
    else:
        taken = True
    assert accepts("event", event) is taken


def test_what_the_worker_writes_to_redis_fits_the_schemas() -> None:
    """Answers and the catalog as hashes of texts, and the JSON within them."""
    view = View(
        user="7",
        incarnation=1,
        partition_sequence=9,
        sequence=7,
        at=865_987_200_001,
        definitions_version=3,
        model_version={"behaviour": 12},
        segments={"at_risk": (1, None), "behaviour.c3": (1, 2)},
        features={"orders": 2, "city": "Wien"},
        entered={},
        left=[],
    )
    *_, words = msgpack.unpackb(encode(view).answer)
    answer = dict(zip(words[::2], words[1::2], strict=True))
    check("redis-answer", answer)
    for name, value in answer.items():
        if name.startswith("s:"):
            check("membership", json.loads(value))
            Membership.model_validate_json(value)
    definitions = read_definitions(
        "version: 1\nfeatures: {n: {op: count}}\nsegments: {s: {when: n > 1}}\n"
        "discovered: {b: {model: kmeans, clusters: 2, features: [n]}}",
        "d.yaml",
    )
    snapshot = Snapshot("b", 1, ("n",), ("linear",), (0.0,), (1.0,), ((0.0,), (1.0,)), ("c0", "c1"))
    catalog = catalog_of(definitions, 4, [snapshot]) | {"definitions_version": "1"}
    check("redis-catalog", catalog)
    told = [name for name in catalog if ":" in name]
    assert told == ["segment:s", "discovered:b", "segment:b.c0", "segment:b.c1"]
    for name in told:
        check("segment-info" if name.startswith("segment:") else "discovery-info", json.loads(catalog[name]))


def test_a_hash_that_is_no_answer_is_refused() -> None:
    """The schema is not so wide that anything fits."""
    good = {"v": "1:9", "sequence": "7", "as_of": AT, "definitions_version": "3", "model_version": "{}"}
    check("redis-answer", good)
    assert not accepts("redis-answer", good | {"v": "9"})
    assert not accepts("redis-answer", good | {"sequence": 7})
    assert not accepts("redis-answer", {"v": "1:9"})


# ------------------------------------------------------------------------------------------- AsyncAPI


def document() -> Any:
    """Return asyncapi.yaml, read."""
    return YAML(typ="safe", pure=True).load(ASYNCAPI.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def asyncapi_schema() -> Any:
    """Return AsyncAPI's own schema (see tests/data/NOTE.md)."""
    content = lzma.decompress(ASYNCAPI_SCHEMA.read_bytes())
    assert hashlib.sha256(content).hexdigest() in (ASYNCAPI_SCHEMA.parent / "NOTE.md").read_text("utf-8")
    return json.loads(content)


def test_the_asyncapi_document_is_valid(asyncapi_schema: Any) -> None:
    """By AsyncAPI's own schema, which finds a wrong word in it."""
    validator = Draft7Validator(asyncapi_schema)
    assert [error.message for error in validator.iter_errors(document())] == []
    for path, value in [(("operations", "tellChanges", "action"), "shout"), (("info", "version"), 1)]:
        wrong = document()
        place = wrong
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        assert not validator.is_valid(wrong), path


def test_the_asyncapi_document_has_every_topic_and_names_schemas_that_are_there() -> None:
    """Channels under the names the worker uses unless told otherwise; references that lead somewhere."""
    found = document()
    addresses = {channel["address"] for channel in found["channels"].values()}
    assert addresses == set(Topics().configuration())
    told = {operation["channel"]["$ref"] for operation in found["operations"].values()}
    assert told == {f"#/channels/{name}" for name in found["channels"]}
    messages = found["components"]["messages"]
    references = {
        reference["$ref"].rsplit("/", 1)[1]
        for channel in found["channels"].values()
        for reference in channel["messages"].values()
    }
    assert references == set(messages)
    schemas_named = [
        message["payload"]["schema"]["$ref"]
        for message in messages.values()
        if "schema" in message.get("payload", {})
    ]
    assert len(schemas_named) == 5
    for reference in schemas_named:
        assert (ASYNCAPI.parent / reference).is_file(), reference
