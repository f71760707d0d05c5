"""What others program against: byte for byte, open to what is added, the same on every side."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

import segstream
import segstream_schemas
from segstream_schemas import (
    Cause,
    Change,
    DeadLetter,
    Event,
    Membership,
    Memberships,
    Published,
    ReadModelKeys,
    RejectionReason,
    Time,
    change_id,
)
from segstream_schemas.changes import NAMESPACE

CHANGE = (
    '{"schema_version":1,"id":"'
    + change_id("00042", 1, 7)
    + '","user_id":"00042","incarnation":1,"sequence":7,'
    '"segment":"at_risk","kind":"rule","group":"lifecycle","change":"entered","previous":"active",'
    '"at":"1997-06-11T00:00:00.001Z","processed_at":"1997-06-11T00:00:00.020Z","expires_at":null,'
    '"cause":{"type":"timer","due":"1997-06-11T00:00:00.001Z"},'
    '"reasons":[{"condition":"orders >= 2 and since(last_order) > 60d","before":false,"after":true,'
    '"inputs":{"orders":{"before":2,"after":2},"since(last_order)":{"before":"59d","after":"60d"}}}],'
    '"segments":["at_risk","behaviour.c3","high_value"],"definitions_version":3,'
    '"model_version":{"behaviour":12}}'
)
RESTATED = (
    '{"schema_version":1,"id":"'
    + change_id("00042", 2, 1)
    + '","user_id":"00042","incarnation":2,"sequence":1,'
    '"segment":null,"kind":null,"group":null,"change":"restated","previous":null,'
    '"at":"1997-06-11T00:00:00.001Z","processed_at":"1997-06-11T00:00:00.020Z","expires_at":null,'
    '"cause":{"type":"recovery"},"reasons":[],"segments":["at_risk"],"definitions_version":3,'
    '"model_version":{}}'
)
MEMBERSHIPS = (
    '{"schema_version":1,"user_id":"00042","incarnation":1,"sequence":7,'
    '"segments":{"at_risk":{"since":"1997-06-11T00:00:00.001Z","expires_at":"1997-07-11T00:00:00.000Z"}},'
    '"at":"1997-06-11T00:00:00.001Z","definitions_version":3,"model_version":{"behaviour":12}}'
)
DEAD_LETTER = (
    '{"schema_version":1,"topic":"events","partition":2,"offset":17,"reason":"not_json",'
    '"message":"Send JSON.","where":"line 1 column 1",'
    '"value":"aGVsbG8=","key":null,"headers":[["trace","YWI="]],"value_length":5,'
    '"truncated":false}'
)
PUBLISHED = '{"incarnation":1,"epoch":4,"partition_sequence":1733,"owner":"9f86d081884c7d65"}'
EVENT = '{"type":"page","userId":"00042","messageId":17,"properties":{"path":"/"},"plan":"gold"}'

CONTRACTS: list[tuple[type[BaseModel], str]] = [
    (Change, CHANGE),
    (Change, RESTATED),
    (Memberships, MEMBERSHIPS),
    (DeadLetter, DEAD_LETTER),
    (Published, PUBLISHED),
]
by_name = pytest.mark.parametrize(
    ("model", "text"), CONTRACTS, ids=["change", "restated", "memberships", "dead", "told"]
)


@by_name
def test_a_record_goes_through_its_model_byte_for_byte(model: type[BaseModel], text: str) -> None:
    """What is read and written again is the same text, in the order of the contract."""
    assert model.model_validate_json(text).model_dump_json() == text


@by_name
def test_readers_accept_and_keep_fields_added_later(model: type[BaseModel], text: str) -> None:
    """Within a schema version fields are only added."""
    later = text[:-1] + ',"added_later":{"x":1}}'
    assert model.model_validate_json(later).model_dump_json() == later


@by_name
def test_records_cannot_be_altered(model: type[BaseModel], text: str) -> None:
    """The models are frozen."""
    record = model.model_validate_json(text)
    with pytest.raises(ValidationError):
        setattr(record, next(iter(model.model_fields)), 2)


@by_name
def test_no_field_of_a_record_may_be_missing_but_the_optional_ones(model: type[BaseModel], text: str) -> None:
    """Whoever writes a record without a field of the contract learns it at once."""
    document = json.loads(text)
    for name in document.keys() - {"schema_version", "truncated", "owner"}:
        with pytest.raises(ValidationError):
            model.model_validate({key: value for key, value in document.items() if key != name})


def test_readers_accept_unknown_values_of_open_enums() -> None:
    """A new kind, change, cause or reason code breaks no reader."""
    document = json.loads(CHANGE) | {
        "kind": "lookalike",
        "change": "renewed",
        "cause": {"type": "merge", "with": "7"},
    }
    change = Change.model_validate(document)
    assert (change.kind, change.change, change.cause.type) == ("lookalike", "renewed", "merge")
    assert change.cause.model_extra == {"with": "7"}
    assert DeadLetter.model_validate(json.loads(DEAD_LETTER) | {"reason": "new"}).reason == "new"


def test_a_cause_has_only_the_fields_of_its_type() -> None:
    """Absent fields are left out rather than null."""
    cause = Cause(type="event", message_id="m1", topic="events", partition=0, offset=0)
    expected = '{"type":"event","message_id":"m1","topic":"events","partition":0,"offset":0}'
    assert cause.model_dump_json() == expected


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 2**40), st.integers(1, 2**62))
def test_the_id_of_a_change_is_a_uuid5(user: str, incarnation: int, sequence: int) -> None:
    """As the standard library computes it, so any consumer can."""
    assert change_id(user, incarnation, sequence) == str(
        uuid.uuid5(NAMESPACE, f"{incarnation}/{user}/{sequence}")
    )


def test_ids_of_changes_never_alter() -> None:
    """Consumers recognise repeats by them, across releases: this one is pinned."""
    assert change_id("00042", 1, 7) == "4c54243b-3841-5bed-9a8d-d7869bf681b3"


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_written_with_milliseconds_and_z_and_read_back(moment: datetime) -> None:
    """Whole milliseconds go through unaltered; what lies below is cut off."""
    adapter: TypeAdapter[datetime] = TypeAdapter(Time)
    read = adapter.validate_python(moment)
    written = json.loads(adapter.dump_json(read))
    assert len(written) == len("1997-06-11T00:00:00.001Z")
    assert timedelta() <= moment - read < timedelta(milliseconds=1)
    assert adapter.validate_python(written) == read


def test_times_of_other_zones_are_carried_in_utc() -> None:
    """The text on the wire ends in ``Z`` whatever the zone was."""
    moment = datetime(1997, 6, 11, 2, tzinfo=timezone(timedelta(hours=2)))
    assert (
        Membership(since=moment, expires_at=None)
        .model_dump_json()
        .startswith('{"since":"1997-06-11T00:00:00.000Z"')
    )


@pytest.mark.parametrize("bad", [865987200000, "yesterday", "0001-01-01T00:00:00+01:00", None, True])
def test_what_is_not_a_time_is_refused(bad: object) -> None:
    """Numbers among them: nobody can say of which unit they are."""
    with pytest.raises(ValidationError):
        Membership.model_validate({"since": bad, "expires_at": None})


def test_an_event_keeps_its_fields_and_its_text() -> None:
    """Names as the Segment spec has them, unknown fields included, ids as they came."""
    assert Event.model_validate_json(EVENT).model_dump_json(exclude_unset=True) == EVENT


@pytest.mark.parametrize(
    ("event", "advice"),
    [
        ({"type": "track", "userId": "1"}, "needs `event`"),
        ({"type": "page"}, "userId or an anonymousId"),
        ({"type": "page", "userId": "anon:1"}, "anonymousId instead"),
        ({"type": "page", "userId": "1", "timestamp": "now"}, "ISO 8601"),
        ({"type": "Page", "userId": "1"}, "'identify'"),
    ],
)
def test_a_producer_learns_what_is_wrong_with_an_event_before_sending_it(
    event: dict[str, Any], advice: str
) -> None:
    """The model refuses what the worker would make a dead letter, and says what to do."""
    with pytest.raises(ValidationError, match=advice):
        Event.model_validate(event)


def test_every_reason_code_is_explained() -> None:
    """The table in the docstring has each of them."""
    for reason in RejectionReason:
        assert f"``{reason.value}``" in (RejectionReason.__doc__ or "")


def test_keys_of_the_read_model_are_those_of_the_design() -> None:
    """Braces around the partition keep a partition's keys in one slot of Redis Cluster."""
    keys = ReadModelKeys()
    assert keys.user("00042") == "segments:user:00042"
    assert keys.members("behaviour.c3", 0) == "segments:members:behaviour.c3:{0}"
    assert keys.catalog == "segments:catalog"
    assert ReadModelKeys("shop:").catalog == "shop:segments:catalog"


def test_the_public_names_are_pinned() -> None:
    """A name that goes or comes is a decision, not an accident; `segstream` has the same ones."""
    assert set(segstream_schemas.__all__) == {
        "Answer", "AsyncSegmentReader", "Catalog", "Cause", "Change", "ChangeConsumer", "ChangesError",
        "ContractError", "DeadLetter", "DefinitionsDocument", "DiscoveryInfo", "Event", "FeatureValue", "Gap",
        "InputValues", "Member", "Membership", "Memberships", "Published", "ReadModelError", "ReadModelKeys",
        "Reason", "RejectionReason", "SegmentInfo", "SegmentReader", "Time", "change_id",
    }  # fmt: skip
    assert segstream.__all__ == segstream_schemas.__all__
    for name in segstream.__all__:
        assert getattr(segstream, name) is getattr(segstream_schemas, name)
        assert name in dir(segstream)
        assert name in dir(segstream_schemas)


@pytest.mark.parametrize("module", [segstream, segstream_schemas])
def test_a_name_that_is_not_there_is_an_attribute_error(module: ModuleType) -> None:
    """As of every module, so that `hasattr` and `from ... import` work as usual."""
    assert not hasattr(module, "no_such_name")
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018 - looking is the point


def test_the_models_alone_load_neither_redis_nor_kafka() -> None:
    """Every module of the worker imports `segstream`, and a producer wants no more than `Event`."""
    program = (
        "import sys, segstream; light = 'pydantic' not in sys.modules; from segstream_schemas import Event;"
        "print(light, [name for name in ('redis', 'aiokafka', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"
