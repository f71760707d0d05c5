"""``segstream dead-letters`` before it talks to any server, and the words it uses."""

from __future__ import annotations

from collections import Counter

import pytest

from segstream.adapters.kafka.letters import Foreign
from segstream.adapters.kafka.replays import Tally
from segstream.cli import main
from segstream.cli.replay import consequences
from segstream.settings import Settings


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "missing command; `segstream dead-letters --help` says more"),
        (["lst"], "no such command 'lst'. Did you mean 'list'? `segstream dead-letters --help` says more"),
        (["list", "--bogus"], "no such option: --bogus"),
        (["show"], "missing argument 'PLACE'; `segstream dead-letters show --help` says more"),
        (
            ["show", "17"],
            "'17' is no place; write the letter's, such as 3-17, or the record's: events-3-1042",
        ),
        (["show", "events-3-x"], "'events-3-x' is no place"),
        (["list", "--since", "soon"], "--since: 'soon' is not a time"),
        (["list", "--limit", "0"], "invalid value for '--limit'"),
        (["list", "--user", "\udcff"], "the user '\\udcff' is not UTF-8"),
        (
            ["list", "--reason", "misplaced", "--reason", "bad_timestmp"],
            "--reason: there is no reason 'bad_timestmp'; did you mean 'bad_timestamp'? There are null_value, too_large, ",
        ),
        (
            ["replay", "--yes", "--reason", "nope"],
            "--reason: there is no reason 'nope'; there are null_value, ",
        ),
        (["replay"], "there is nobody to ask whether to send; look at what --dry-run shows, then give --yes"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, naming what is wrong; the exit code is 2."""
    assert main(["dead-letters", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"segstream: {told}")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_each_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As every command."""
    assert main(["dead-letters", command, "--help"]) == 0
    assert f"Example: segstream dead-letters {command} " in capsys.readouterr().out


def test_before_it_sends_it_says_what_follows() -> None:
    """How many go where, what becomes of them, and what is left out and why."""
    foreign = Foreign(1_500, "segment-dead-letters-0, offset 17")
    planned = Tally(Counter({("future_timestamp", "events"): 1_200}), 3, 1, Counter(old=2), foreign)
    assert consequences(Settings(), planned) == [
        "1,200 records to be sent again:",
        "  1,200 future_timestamp, to events",
        "What follows:",
        "- each goes to its topic once more, behind all that is there, with key, value and headers as they were",
        "- a header segstream-replayed says where its dead letter lies",
        "- its partition is its key's, by the partitioner murmur2; without a key the one it was in",
        "- workers apply it like any other; one that fails again becomes another dead letter",
        "- an event without a time of its own counts as of now",
        "left out: 3 sent again before",
        "left out: 1 too large to have been kept whole; send them anew from their source",
        "left out: 2 of old, which is not among SEGSTREAM_TOPICS or is gone",
        (
            "1,500 records are no dead letters, the first found is segment-dead-letters-0, offset 17: left out; does another "
            "program write to this topic?"
        ),
    ]
    assert consequences(Settings(), Tally()) == ["nothing is left to be sent again"]
    assert consequences(Settings(), planned, dry_run=True)[0] == "1,200 records would be sent again:"
