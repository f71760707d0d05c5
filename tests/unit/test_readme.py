"""What the README says is so: its examples run, its tables follow from the code, what it names exists."""

from __future__ import annotations

import inspect
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_group

import segstream_schemas
from segstream.cli.main_app import app
from segstream.core import antiflap
from segstream.settings import PREFIX, Settings
from tests.readme import README, ROOT, blocks, live, printed, renewed

TEXT = README.read_text(encoding="utf-8")
PAGES = {
    page.name: page.read_text(encoding="utf-8")
    for page in (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
}
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
"""What stands in backquotes within the text."""

PYTHON = [
    code
    for before, code in re.findall(r"^([^\n]*)\n```python\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)
    if not before.endswith("<!-- live -->")
]
"""Programs that need no server."""

FENCED = re.findall(r"```(?:sh|console)\n(.*?)```", TEXT, re.DOTALL)
"""Blocks of commands."""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is set on this machine, and its terminal, out of what commands print."""
    monkeypatch.delenv(f"{PREFIX}SETTINGS", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def test_tables_and_outputs_are_those_of_the_program() -> None:
    """Settings, features, reason codes, commands and what commands print; ``python -m tests.readme`` renews them."""
    assert renewed(TEXT) == TEXT


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_python_example_runs(number: int) -> None:
    """Each by itself, as somebody would copy it; those that need servers run in the integration tests."""
    exec(compile(PYTHON[number], f"README example {number}", "exec"), {"__name__": "readme"})  # noqa: S102 - ours


def test_the_three_who_program_against_it_have_examples_that_run() -> None:
    """Python and kcat for those who consume changes, Python and redis-cli for readers, commands for operators."""
    pages = {
        heading: [example.language + example.code for example in live(page)]
        for heading, page in re.findall(r"^## (.+?)\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
    }
    wanted = {
        "Changes, for product engineers": ("pythonimport", "consolekcat"),
        "Segments, for campaign engineers": ("pythonimport", "consoleredis-cli"),
        "At 3 a.m., for SREs": ("consolecurl", "consolesegstream user"),
    }
    for heading, kinds in wanted.items():
        for kind in kinds:
            assert any(example.startswith(kind) for example in pages[heading]), (heading, kind)


def test_the_consumer_example_drops_repeats_and_takes_a_new_incarnation() -> None:
    """A record delivered again is no news; a later incarnation is, though its sequence starts over."""
    example = next(code for code in PYTHON if "is_news" in code)
    names: dict[str, object] = {}
    exec(compile(example, "README", "exec"), names)  # noqa: S102 - ours
    is_news = names["is_news"]
    assert callable(is_news)
    _, record = next(found for found in blocks(TEXT, "record") if found[0] == "Change")
    change = segstream_schemas.Change.model_validate_json(record)
    again = change.model_copy(update={"incarnation": change.incarnation + 1, "sequence": 1})
    assert [is_news(change), is_news(change), is_news(again), is_news(change)] == [True, False, True, False]


@pytest.mark.parametrize(("model", "record"), list(blocks(TEXT, "record")))
def test_a_record_shown_is_one_of_its_model(model: str, record: str) -> None:
    """It is read, nothing in it is unknown, and written again it is the same."""
    kind: type[BaseModel] = getattr(segstream_schemas, model)
    read = kind.model_validate_json(record)
    assert not read.model_extra
    assert json.loads(read.model_dump_json()) == json.loads(record)


@pytest.mark.parametrize("name", [name for name, _ in blocks(TEXT, "file") if name != "mistakes.yaml"])
def test_definitions_shown_are_valid(name: str) -> None:
    """But for those that show what is said of mistakes."""
    assert printed(f"segstream validate {name}", dict(blocks(TEXT, "file"))).startswith(f"{name}: valid\n")


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_named_exists(page: str) -> None:
    """A variable that begins with SEGSTREAM_ is a setting, or one of the tests' own."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}SETTINGS"}
    known |= {
        f"{PREFIX}{name}"
        for name in (
            "TEST_KAFKA",
            "TEST_REDIS",
            "TEST_RECORD",
            "TEST_SEED",
            "SIMULATION_SCHEDULES",
            "SIMULATION_FIRST",
        )
    }
    named = set(re.findall(rf"\b{PREFIX}\w+", PAGES[page]))
    assert named <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_command_named_exists_with_its_options(page: str) -> None:
    """In the text and in the blocks."""
    commands = get_group(app).commands
    inline = re.findall(r"`(segstream [^`]+)`", PAGES[page].replace("\n", " "))
    lines = [line for block in FENCED for line in block.splitlines()] if page == "README.md" else []
    for line in [*inline, *lines]:
        found = re.match(r"(?:\$ )?segstream ([a-z-]+)(?: ([a-z-]+))?(.*)", line)
        if not found or found[1].startswith("-"):
            continue
        assert found[1] in commands, line
        command = commands[found[1]]
        if isinstance(command, TyperGroup) and found[2]:
            assert found[2] in command.commands, line
            command = command.commands[found[2]]
        options = {option for parameter in command.params for option in parameter.opts}
        given = f"{found[2] or ''} {found[3]}".partition("#")[0]
        assert set(re.findall(r"(?<!\S)--[a-z-]+", given)) <= options, line


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_named_exists(page: str) -> None:
    """In the text and in the blocks."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\$ )make ([a-z]+)", PAGES[page], re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_file_named_exists(page: str) -> None:
    """Links, and what in backquotes looks like a path of the repository."""
    links = re.findall(r"\]\(([^)#:]+)\)", PAGES[page])
    paths = re.findall(r"`((?:worker|schemas|tests|deploy|\.ci)/[\w./-]+)`", PAGES[page])
    assert [name for name in (*links, *paths) if not Path(ROOT, name).exists()] == []


def test_every_heading_linked_to_exists() -> None:
    """Anchors are headings in small letters, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_every_error_quoted_is_one_of_the_program() -> None:
    """The table of messages quotes words that stand in the source."""
    table = TEXT.partition("| it says | what to do |")[2].partition("\n\n")[0]
    quoted = [
        part for row in table.splitlines() for part in re.findall(r"`([^`]+)`", row.partition(" | ")[0])
    ]
    # Messages are wrapped in the source, so their pieces are put together first.
    source = "".join(
        re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8"))
        for file in sorted((ROOT / "worker").rglob("*.py"))
    )
    words = [words for quote in quoted for words in re.split(r"\s*…\s*", quote) if words]
    assert len(words) > 10
    assert [text for text in words if text not in source] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_speaks_of_one_machine(page: str) -> None:
    """No absolute path of a file system, and no host of a package registry."""
    without_urls = re.sub(r"\b\w+://\S+", "", PAGES[page])
    assert not re.findall(
        r"(?<![\w.}/>-])/(?:home|root|tmp|usr|var|opt|work|etc|mnt|Users)\b\S*", without_urls
    )
    assert not re.findall(r"pypi|pythonhosted|maven\.org|registry\.|artifactory", PAGES[page], re.IGNORECASE)


def test_the_blocks_to_be_refreshed_are_there() -> None:
    """What a run printed stands between markers, so that it can be replaced by a later run's."""
    for name in ("make demo", "make test", "make bench"):
        begin, end = TEXT.index(f"<!-- {name}: begin -->"), TEXT.index(f"<!-- {name}: end -->")
        assert f"$ {name}\n" in TEXT[begin:end]


def test_phases_against_flapping_are_those_of_the_program() -> None:
    """The table is the module's own, row by row, and the drawing has its transitions and no others."""
    lines = (inspect.getdoc(antiflap) or "").splitlines()
    above, below, end = (number for number, line in enumerate(lines) if line.startswith("==="))
    columns = [found.span() for found in re.finditer("=+", lines[above])][:3]
    wanted: list[list[str]] = []
    for line in lines[below + 1 : end]:
        phase, happens, after = (line[slice(*column)].strip().replace("``", "`") for column in columns)
        if phase:
            wanted.append([phase, happens, after])
        else:
            wanted[-1][1] += f" {happens}"
    section = TEXT.partition("### Against flapping\n")[2].partition("\n### ")[0]
    rows = section.partition("| phase | what happens |")[2].partition("\n\n")[0].splitlines()[2:]
    assert [[cell.strip() for cell in row.split("|")[1:4]] for row in rows] == wanted
    drawn = set(re.findall(r"^ {4}(\w+) --> (\w+):", section, re.MULTILINE))
    assert drawn == {(phase, after) for phase, _, after in wanted if phase != after}


def test_the_sequence_of_steps_is_complete() -> None:
    """The picture has the seven steps of the flow, in order."""
    picture = TEXT.partition("## How an event goes")[2].partition("```")[2].partition("```")[0]
    steps = [int(number) for number in re.findall(r"^  ([1-9]) ", picture, re.MULTILINE)]
    assert steps[0] == 1
    assert steps[-1] == 7
    assert all(later == earlier + 1 for earlier, later in pairwise(steps))
