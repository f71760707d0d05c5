"""Which servers are refused, from what they say of themselves; and which commands are tried before the start."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from segstream.adapters.redis.errors import advice
from segstream.adapters.redis.fitness import check
from segstream.errors import ServerError

GOOD = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "role": "master", "cluster_enabled": 0}


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"redis_version": "6.0.16"}, "it is version 6.0.16; segstream needs 6.2 or later"),
        ({"maxmemory_policy": "volatile-lru"}, "maxmemory-policy is volatile-lru"),
        ({"role": "slave"}, "this is a replica; give the address of the primary"),
        ({"cluster_enabled": 1}, "set SEGSTREAM_REDIS_CLUSTER to true"),
    ],
    ids=["too old", "evicts", "replica", "cluster"],
)
def test_a_server_that_would_lose_or_refuse_the_state_is_refused(
    said: dict[str, object], refused: str
) -> None:
    """With its address and what to do."""
    check(GOOD, "one:6379/0")
    with pytest.raises(ServerError, match=f"^Redis at one:6379/0: .*{refused}"):
        check(GOOD | said, "one:6379/0")


def test_what_a_server_does_not_tell_is_not_held_against_it() -> None:
    """Managed servers leave fields out."""
    check({}, "one:6379/0")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("Redis is loading the dataset in memory", "check"),
        (
            "ERR Error running script (call to f_1): @user_script:15: -OOM command not allowed",
            "raise its maxmemory",
        ),
        ("MISCONF Redis is configured to save RDB snapshots", "it cannot write to its disk"),
        ("BUSY Redis is busy running a script.", "another program's script"),
        ("unknown command 'XTRIM'", "segstream needs Redis 6.2"),
        (
            "The user executing the script can't run this command or subcommand script: 7abe, on @user_script:30",
            "grant its user what deploy/access.md lists under *Rights in Redis*",
        ),
        (
            "The user executing the script can't access at least one of the keys mentioned in the command arguments",
            "grant its user what deploy/access.md lists under *Rights in Redis*",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "it does not speak TLS there"),
    ],
)
def test_what_a_server_says_decides_what_to_do(said: str, what: str) -> None:
    """Old versions hide the code of an error within a script in the text of another."""
    assert advice(ConnectionError(said)).startswith(what)


def test_every_command_of_the_scripts_is_tried_before_the_start() -> None:
    """A command that a script begins to use has to be tried in rights.lua: in the middle a refusal leaves half done."""
    folder = files("segstream.adapters.redis").joinpath("lua")
    called = re.compile(r"(?:call|all)\('([A-Z]+)'")
    used = {
        command
        for script in folder.iterdir()
        # What `segstream verify` looks with writes nothing, and no worker calls it.
        if script.name.endswith(".lua") and script.name != "cut.lua"
        for command in called.findall(script.read_text("utf-8"))
    }
    tried = set(re.findall(r"\{'([A-Z]+)'", folder.joinpath("rights.lua").read_text("utf-8")))
    assert {"HSET", "ZADD", "XADD"} <= used
    assert used <= tried
