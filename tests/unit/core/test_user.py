"""A user's state as it is written."""

from __future__ import annotations

import pytest

from segstream.core.time import NEVER
from segstream.core.user import NOBODY, UNKNOWN, User
from segstream.errors import NewerState

WRITTEN_BY_SCHEMA_1 = bytes.fromhex("9a010100010" + "0cf" + "4" + "0" * 15 + "910180" + "80" + "c400")
WRITTEN_BY_SCHEMA_2 = (
    bytes.fromhex("9b020100010" + "0cf" + "4" + "0" * 15 + "910180" + "80" + "c400")
    + bytes.fromhex("93" + "81a16101" + "81a16202" + "91a163")
)  # fmt: skip


def test_states_of_earlier_schemas_are_read() -> None:
    """Nobody knows what those users are due for, so their next event has all their segments looked at."""
    plain, damped = User.decode("u", WRITTEN_BY_SCHEMA_1), User.decode("u", WRITTEN_BY_SCHEMA_2)
    for user in (plain, damped):
        assert (user.features, user.basis, user.incarnation, user.due) == ((1,), 1, 1, NEVER)
        assert user.due_for == UNKNOWN
    assert (plain.confirming, plain.left, plain.resisted) == ({}, {}, ())
    assert (damped.confirming, damped.left, damped.resisted) == ({"a": 1}, {"b": 2}, ("c",))


def test_what_a_user_is_due_for_is_kept() -> None:
    """Also that it is due for nothing."""
    user = User("u", (1,), 1, 1)
    for place in (NOBODY, 0, 300):
        user.due_for = place
        assert User.decode("u", user.encode()).due_for == place


def test_a_state_of_a_later_program_is_refused() -> None:
    """With what to do, and without the user's id, since the text is logged."""
    data = User("00042", (1,), 1, 1).encode()
    with pytest.raises(NewerState) as caught:
        User.decode("00042", data.replace(b"\x03", b"\x04", 1))
    assert str(caught.value) == (
        "a user's state has schema 4, and this version of segstream reads up to 3: a later one has worked here. Go on with "
        "that one, or begin anew with `segstream reset --to earliest`"
    )
    assert (caught.value.user, caught.value.schema, caught.value.known) == ("00042", 4, 3)
