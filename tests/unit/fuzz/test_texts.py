"""Definitions and conditions as nobody should write them: read, or refused at a place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segstream.cli import main
from segstream.cli.arguments import read
from segstream.core.definitions import find_mistakes
from segstream.errors import DefinitionError
from tests.texts import FILES, PIECES, broken, check, conditions, good


class Drawn:
    """A `Chance` that Hypothesis decides, and so can make smaller."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound - 1``."""
        return self._data.draw(st.integers(0, bound - 1))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_definitions_are_read_or_refused_at_a_place(data: st.DataObject) -> None:
    """Ready-made ones, changed in one to four places: no other error, no message without line and column."""
    chance = Drawn(data)
    check(broken(chance, good(chance.below(len(FILES))), 1 + chance.below(4)))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_conditions_are_read_or_refused_at_a_place(data: st.DataObject) -> None:
    """The same of conditions alone, each in one line of quoted text."""
    chance = Drawn(data)
    condition = conditions()[chance.below(len(conditions()))]
    check(_short.replace("{}", in_one_line(broken(chance, condition, chance.below(5)))))


_short = """\
version: 1
traits: {age: number, plan: text, born: time, vip: boolean}
features:
  orders: {op: count}
  revenue_365d: {op: sum, of: properties.revenue, window: 365d}
  last_order: {op: last_time}
  basket: {op: mean, of: properties.revenue}
  country: {op: last, of: traits.address.country}
segments:
  fuzzed: {when: {}}
  other: {when: orders > 1}
"""


def in_one_line(condition: str) -> str:
    """Return a condition as YAML has a text in double quotes."""
    return json.dumps(condition)


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_every_piece_alone_and_within_is_read_or_refused_at_a_place(piece: str) -> None:
    """As the whole file, as a value, as a key, and as a condition."""
    check(piece)
    check(
        f"version: 1\nfeatures:\n  orders: {{op: count}}\nsegments:\n  a:\n    when: orders > 1\n    label: {piece}\n"
    )
    check(f"version: 1\nfeatures:\n  {piece}: {{op: count}}\n")
    check(_short.replace("{}", in_one_line(f"orders > 1 and {piece}")))
    check(_short.replace("{}", in_one_line(piece)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_of_broken_bytes_is_told_with_its_place(data: st.DataObject, tmp_path: Path) -> None:
    """What is not UTF-8 is refused where it stands."""
    file = tmp_path / "f.yaml"
    content = bytearray(_short.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    if content.decode("utf-8", "replace") == content.decode("utf-8", "ignore"):
        check(read(file))
        return
    with pytest.raises(DefinitionError, match="not UTF-8") as raised:
        read(file)
    before = content[: len(content.decode("utf-8", "replace").partition("\ufffd")[0].encode())]
    assert raised.value.line == before.count(b"\n") + 1
    assert raised.value.column == len(before.decode().rpartition("\n")[2]) + 1


def test_the_byte_that_is_not_utf_8_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line and column count characters, as editors do."""
    file = tmp_path / "f.yaml"
    file.write_bytes("version: 1\nfeatures: {é".encode() + b"\xff: {op: count}}\n")
    assert main(["validate", str(file)]) == 1
    assert capsys.readouterr().err.splitlines()[:3] == [
        f"{file}:2:13: not UTF-8 (byte 24); save the file as UTF-8",
        "  features: {é",
        "              ^",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028\n", "\x85\n", "\x0c\n"])
def test_lines_are_counted_as_editors_do(end: str) -> None:
    """Whatever else a parser takes for the end of a line."""
    text = f"version: 1{end}# more{end}features:\n  orders: {{op: cuont}}\n"
    places = [(mistake.line, mistake.column) for mistake in find_mistakes(text)]
    assert places in ([(4, 16)], [(1, 11)])
    if end in ("\n", "\r\n"):
        assert places == [(4, 16)]


def test_of_a_very_long_line_the_part_around_the_place_is_shown() -> None:
    """Nobody wants a megabyte on the terminal."""
    text = f"version: 1\nfeatures: {{orders: {{op: count}}}}\nsegments: {{a: {{when: orders > 1, label: {'x' * 90_000}, wehn: 1}}}}"
    *_, mistake = find_mistakes(text)
    shown, caret = mistake.excerpt().split("\n")
    assert shown[caret.index("^") :].startswith("wehn")
    assert len(shown) <= 300


def test_control_characters_steer_no_terminal() -> None:
    """An escape in a label is shown as a replacement, and the caret stands right."""
    mistake = DefinitionError("wrong", "f", 1, 6, "a\x1b[2J\x07b: c")
    assert mistake.excerpt() == "a\ufffd[2J\ufffdb: c\n     ^"


def test_many_wrong_names_among_many_are_all_told() -> None:
    """Looking for what each may have meant does not compare everything with everything."""
    features = "".join(f"  feature_number_{number}: {{op: count}}\n" for number in range(150))
    segments = "".join(f"  s{number}: {{when: fiature_numbar_{number} > 1}}\n" for number in range(150))
    mistakes = find_mistakes(f"version: 1\nfeatures:\n{features}segments:\n{segments}")
    assert len(mistakes) == 150
    assert mistakes[7].message == "unknown name 'fiature_numbar_7'; did you mean 'feature_number_7'?"
