"""What the readers ask Redis, before they ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segstream_schemas.queries import Plan, Queries

ASKING: list[Callable[[Queries, Any], Plan[Any]]] = [
    Queries.segments_of,
    Queries.answer_of,
    Queries.features_of,
    lambda queries, user: queries.in_segment(user, "loyal"),
    lambda queries, user: queries.many(["00041", user]),
]


@pytest.mark.parametrize("ask", ASKING, ids=["segments_of", "answer_of", "features_of", "in_segment", "many"])
@pytest.mark.parametrize("user", [b"00042", None, 42], ids=repr)
def test_an_id_that_is_no_text_is_refused(ask: Callable[[Queries, Any], Plan[Any]], user: object) -> None:
    """A key from Kafka is bytes: as text it would be another user, in no segment, and nobody would notice."""
    with pytest.raises(
        TypeError, match=f"^a user's id is a str, not {type(user).__name__}; a key from Kafka is"
    ):
        next(ask(Queries(), user))


@pytest.mark.parametrize("users", ["00042", b"00042"])
def test_one_id_in_place_of_many_is_refused(users: Any) -> None:
    """Else each of its letters would be asked about."""
    with pytest.raises(TypeError, match=r"^many takes ids, and this is one"):
        next(Queries().many(users))


@pytest.mark.parametrize("user", ["", "a b", "-x", "a:b{c}", "💰", "x" * 500])
def test_any_text_is_an_id(user: str) -> None:
    """It stands in the key as it is."""
    (command,) = next(Queries().segments_of(user))
    assert command.arguments == (f"segments:user:{user}",)
