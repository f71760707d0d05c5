"""The JSON Schema of definitions: what an editor completes and marks while one writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from segstream.core.definitions import read_definitions
from segstream.core.expressions.hints import FUNCTIONS, WORDS
from segstream.core.features.registry import REGISTRY
from segstream.errors import DefinitionError
from segstream_schemas.definitions import OPTIONS, RESERVED
from tests.readme import README, blocks
from tests.schemas import JSON, ROOT, name_of

DEMO = ROOT / "worker" / "segstream" / "demo" / "definitions.yaml"

GOOD = """
version: 1
sources:
  crm: {topic: crm-rows, keyed: false, type: identify, user: id, timestamp: at, timestamp_unit: s, traits: {country: c.d}}
  surveys: {type: track, event: Answered, anonymous: who.id, message_id: n, properties: {score: answers.nps}}
  web: {type: page, user: id, name_from: path, description: D}
  raw: {keyed: false}
features:
  orders: {op: count, event: [Order Completed, Order Refunded], window: 30d, resolution: 1h, expose: true}
  last: {op: last_time, type: page, name: Pricing, topic: events, where: "properties.n > 3"}
  rate: {op: rate, half_life: 7d, of: properties.n, per: 1h}
traits: {country: text}
segments:
  loyal: {when: orders >= 3, leave_when: orders < 2, min_dwell: 1d12h, label: L, description: D, owner: crm, tags: [a]}
groups:
discovered:
  behaviour: {model: kmeans, clusters: 6, features: [orders, since(last)]}
"""

# Each by itself; the worker refuses them too, as the test makes sure of.
MISTAKES = {
    "a source of an unknown type": ("type: identify, user", "type: row, user"),
    "a source without a user": ("event: Answered, anonymous: who.id", "event: Answered"),
    "a track event without a name": ("event: Answered, ", ""),
    "a source without a type that has a user": ("raw: {keyed: false}", "raw: {keyed: false, user: id}"),
    "traits of a track event": ("properties: {score: answers.nps}", "traits: {score: answers.nps}"),
    "properties of an identify event": ("traits: {country: c.d}", "properties: {country: c.d}"),
    "a page called by event": ("name_from: path", "event_from: path"),
    "a unit without a time": ("timestamp: at, timestamp_unit: s", "timestamp_unit: s"),
    "an unknown unit": ("timestamp_unit: s", "timestamp_unit: days"),
    "a topic with a blank": ("topic: crm-rows", "topic: crm rows"),
    "a path that is a number": ("{score: answers.nps}", "{score: 5}"),
    "a property with a dot in its name": ("{score: answers.nps}", "{a.b: answers.nps}"),
    "another version": ("version: 1", "version: 2"),
    "no version": ("version: 1", ""),
    "an unknown section": ("traits: {country: text", "trait: {country: text"),
    "a capital in a name": ("  orders:", "  Orders:"),
    "a reserved name": ("  orders:", "  since:"),
    "an unknown op": ("op: count", "op: cuont"),
    "no op": ("{op: count, ", "{"),
    "an unknown key": ("window: 30d", "windw: 30d"),
    "a duration without a unit": ("window: 30d", "window: 30"),
    "a duration in words": ("window: 30d", "window: a month"),
    "an option of another op": ("window: 30d", "half_life: 30d"),
    "an op without what it needs": ("op: rate, half_life: 7d", "op: rate"),
    "a resolution without a window": ("window: 30d, ", ""),
    "a path with a blank": ("of: properties.n", "of: properties n"),
    "an event of a page": ("type: page, name: Pricing", "type: page, event: Pricing"),
    "a name without a type": ("type: page, name: Pricing", "name: Pricing"),
    "an unknown event type": ("type: page, name: Pricing", "type: pages"),
    "text for a boolean": ("expose: true", "expose: 'yes'"),
    "an unknown trait type": ("country: text", "country: string"),
    "a segment without a condition": ("when: orders >= 3, ", ""),
    "tags that are no list": ("tags: [a]", "tags: a"),
    "an empty list": ("tags: [a]", "tags: ['']"),
    "too many clusters": ("clusters: 6", "clusters: 65"),
    "an unknown model": ("model: kmeans", "model: dbscan"),
    "a group that is no mapping": ("groups:", "groups: [loyal]"),
}


@pytest.fixture(scope="module")
def editor() -> Draft7Validator:
    """Return what an editor checks with: the file."""
    return Draft7Validator(json.loads((JSON / name_of("definitions")).read_text(encoding="utf-8")))


def parsed(text: str) -> Any:
    """Read YAML as editors do, to plain data."""
    return YAML(typ="safe", pure=True).load(text)


def taken(text: str) -> bool:
    """Tell whether the worker takes definitions."""
    try:
        read_definitions(text, "shop.yaml")
    except DefinitionError:
        return False
    return True


def test_what_the_worker_takes_is_not_marked(editor: Draft7Validator) -> None:
    """The demo's definitions, the README's, and one with everything in it."""
    readme = dict(blocks(README.read_text(encoding="utf-8"), "file"))
    for text in (DEMO.read_text(encoding="utf-8"), readme["shop.yaml"], GOOD):
        assert taken(text)
        assert [error.message for error in editor.iter_errors(parsed(text))] == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_marked(editor: Draft7Validator, mistake: str) -> None:
    """Each by itself, and the worker agrees."""
    right, wrong = MISTAKES[mistake]
    assert GOOD.count(right) == 1
    text = GOOD.replace(right, wrong)
    assert not taken(text)
    assert not editor.is_valid(parsed(text)), text


def test_every_op_says_what_it_needs_and_takes(editor: Draft7Validator) -> None:
    """For each op and option, editor and worker agree whether they go together."""
    examples = {"of": "properties.n", "window": "30d", "half_life": "7d", "per": "1d", "equals": "x"}
    for op, (needs, _) in OPTIONS.items():
        needed = {option: examples[option] for option in needs}
        for option in (None, *examples):
            for feature in (
                {"op": op, **needed, **({option: examples[option]} if option else {})},
                {"op": op},
            ):
                document = {"version": 1, "features": {"f": feature}}
                assert editor.is_valid(document) is taken(json.dumps(document)), feature


def test_the_tables_are_those_of_the_worker() -> None:
    """Options by op, and the words that no feature may be called."""
    assert {
        op: (it.needs, tuple(name for name in it.takes if name != "kind")) for op, it in REGISTRY.items()
    } == dict(OPTIONS)
    assert frozenset(RESERVED) == {*WORDS, *FUNCTIONS, "traits"}


def test_an_editor_has_something_to_complete_and_to_tell(editor: Draft7Validator) -> None:
    """Every key has a description; ops, types and models are listed."""
    schema: Any = editor.schema
    assert {name for name, part in schema["properties"].items() if "description" not in part} == set()
    for name, part in schema["definitions"].items():
        assert {
            field for field, found in part["properties"].items() if "description" not in found
        } == set(), name
    features = schema["definitions"]["FeatureDefinition"]["properties"]
    assert features["op"]["enum"] == list(REGISTRY)
