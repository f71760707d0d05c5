"""What the documents say is so: examples run, tables follow from the code, what they name exists."""

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
from tests.readme import DOCUMENTS, ROOT, TABLES, blocks, live, printed, renewed

TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in DOCUMENTS}
TEXT = TEXTS["README.md"]

PYTHON = [
    code
    for text in TEXTS.values()
    for before, code in re.findall(r"^([^\n]*)\n```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    if not before.endswith("<!-- live -->")
]
"""Programs that need no server."""

RECORDS = [record for text in TEXTS.values() for record in blocks(text, "record")]
DEFINITIONS = [(page, name) for page, text in TEXTS.items() for name, _ in blocks(text, "file")]


def prose(text: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return where links may lead: headings in small letters, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is set on this machine, and its terminal, out of what commands print."""
    monkeypatch.delenv(f"{PREFIX}SETTINGS", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("page", TEXTS)
def test_tables_and_outputs_are_those_of_the_program(page: str) -> None:
    """Settings, features, reason codes, commands and what commands print; ``python -m tests.readme`` renews them."""
    assert renewed(TEXTS[page]) == TEXTS[page]


@pytest.mark.parametrize("name", [*TABLES, "faults", "make demo", "make test", "make bench"])
def test_what_is_renewed_stands_in_one_place(name: str) -> None:
    """A table that has gone, or has a twin, would not be noticed else."""
    assert sum(text.count(f"<!-- {name}: begin -->\n") for text in TEXTS.values()) == 1
    assert sum(text.count(f"<!-- {name}: end -->\n") for text in TEXTS.values()) == 1


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_python_example_runs(number: int) -> None:
    """Each by itself, as somebody would copy it; those that need servers run in the integration tests."""
    exec(compile(PYTHON[number], f"example {number}", "exec"), {"__name__": "readme"})  # noqa: S102 - ours


def test_each_of_the_four_readers_has_a_chapter_with_examples_that_run() -> None:
    """Python and kcat to consume changes, Python and redis-cli to read, commands to operate and to ask what and why."""
    pages = {
        heading: [example.language + example.code for example in live(page)]
        for heading, page in re.findall(r"^## (.+?)\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
    }
    wanted = {
        "Changes, for product engineers": ("pythonimport", "consolekcat"),
        "Segments, for campaign engineers": ("pythonimport", "consoleredis-cli"),
        "At 3 a.m., for SREs": ("consolecurl", "consolesegstream verify"),
        "Definitions in five minutes": ("consolesegstream plan", "consolesegstream explain"),
    }
    for heading, kinds in wanted.items():
        for kind in kinds:
            assert any(example.startswith(kind) for example in pages[heading]), (heading, kind)


def test_the_consumer_example_drops_repeats_and_takes_a_new_incarnation() -> None:
    """A record delivered again is no news; a later incarnation is, though its sequence starts over."""
    example = next(code for code in PYTHON if "is_news" in code)
    names: dict[str, object] = {}
    exec(compile(example, "example", "exec"), names)  # noqa: S102 - ours
    is_news = names["is_news"]
    assert callable(is_news)
    record = dict(RECORDS)["Change"]
    change = segstream_schemas.Change.model_validate_json(record)
    again = change.model_copy(update={"incarnation": change.incarnation + 1, "sequence": 1})
    assert [is_news(change), is_news(change), is_news(again), is_news(change)] == [True, False, True, False]


def test_records_of_the_three_topics_are_shown() -> None:
    """One of each."""
    assert sorted(model for model, _ in RECORDS) == ["Change", "DeadLetter", "Memberships"]


@pytest.mark.parametrize(("model", "record"), RECORDS)
def test_a_record_shown_is_one_of_its_model(model: str, record: str) -> None:
    """It is read, nothing in it is unknown, and written again it is the same."""
    kind: type[BaseModel] = getattr(segstream_schemas, model)
    read = kind.model_validate_json(record)
    assert not read.model_extra
    assert json.loads(read.model_dump_json()) == json.loads(record)


@pytest.mark.parametrize(("page", "name"), [each for each in DEFINITIONS if each[1] != "mistakes.yaml"])
def test_definitions_shown_are_valid(page: str, name: str) -> None:
    """But for those that show what is said of mistakes."""
    files = dict(blocks(TEXTS[page], "file"))
    assert printed(f"segstream validate {name}", files).startswith(f"{name}: valid\n")


@pytest.mark.parametrize("page", TEXTS)
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
    named = set(re.findall(rf"\b{PREFIX}\w+", TEXTS[page]))
    assert named <= known


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_named_exists_with_its_options(page: str) -> None:
    """In the text and in the blocks."""
    commands = get_group(app).commands
    inline = re.findall(r"`(segstream [^`]+)`", TEXTS[page].replace("\n", " "))
    fenced = re.findall(r"```(?:sh|console)\n(.*?)```", TEXTS[page], re.DOTALL)
    lines = [line.strip() for block in fenced for line in block.splitlines()]
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


@pytest.mark.parametrize("page", TEXTS)
def test_every_make_target_named_exists(page: str) -> None:
    """In the text and in the blocks."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\$ )make ([a-z]+)", TEXTS[page], re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_named_exists(page: str) -> None:
    """Links, from where they stand, and what in backquotes looks like a path of the repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(TEXTS[page]))
    paths = re.findall(r"`((?:worker|schemas|tests|deploy|\.ci)/[\w./-]+)`", TEXTS[page])
    assert [name for name in links if not (ROOT / page).parent.joinpath(name).exists()] == []
    if "data" not in Path(page).parts:  # those speak of what is elsewhere, too
        assert [name for name in paths if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_heading_linked_to_exists(page: str) -> None:
    """Of the same document, and of others."""
    for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", prose(TEXTS[page])):
        there = (ROOT / page).parent.joinpath(name).resolve() if name else ROOT / page
        assert anchor in anchors(TEXTS[str(there.relative_to(ROOT))]), f"{name}#{anchor}"


def test_every_document_is_reached_from_the_readme() -> None:
    """By links, from one to the next, but for the notes beside data."""
    reached, ahead = set[str](), ["README.md"]
    while ahead:
        page = ahead.pop()
        if page in TEXTS and page not in reached:
            reached.add(page)
            links = re.findall(r"\]\(([^)#:]+[.]md)(?:#[^)]*)?\)", prose(TEXTS[page]))
            ahead += [str((ROOT / page).parent.joinpath(name).resolve().relative_to(ROOT)) for name in links]
    assert {page for page in set(TEXTS) - reached if "data" not in Path(page).parts} == set()


def test_code_that_sends_somebody_to_a_chapter_names_where_it_is() -> None:
    """Comments and messages name the document by its path, since there are several, and a chapter that it has."""
    files = [*(ROOT / "deploy").rglob("*.yaml")]
    files += [file for folder in ("worker", "schemas") for file in (ROOT / folder).rglob("*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    named = [
        (page, chapter)
        for text in texts
        for chapter, page in re.findall(r"[*]([A-Z][\w ]+)[*] in ([\w/]+[.]md)", text)
        + [found[::-1] for found in re.findall(r"([\w/]+[.]md) \w* ?under [*\"]([A-Z][\w ]+)[*\"]", text)]
    ]
    assert {"worker/README.md", "deploy/access.md", "deploy/README.md"} <= {page for page, _ in named}
    for page, chapter in named:
        assert chapter.lower().replace(" ", "-") in anchors(TEXTS[page]), (page, chapter)
    assert [text for text in texts if "the README" in text] == []


def test_every_error_quoted_is_one_of_the_program() -> None:
    """The runbook's tables of troubles and of messages quote words that stand in the source."""
    runbook = TEXTS["deploy/README.md"]
    tables = [
        runbook.partition(head)[2].partition("\n\n")[0]
        for head in ("| `troubles` says | what it means | what to do |", "| it says | what to do |")
    ]
    quoted = [
        part
        for table in tables
        for row in table.splitlines()
        for part in re.findall(r"`([^`]+)`", row.partition(" | ")[0])
    ]
    # Messages are wrapped in the source, so their pieces are put together first.
    source = "".join(
        re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8"))
        for file in sorted((ROOT / "worker").rglob("*.py"))
    )
    words = [words for quote in quoted for words in re.split(r"\s*…\s*", quote) if words]
    assert len(words) > 20
    assert [text for text in words if text not in source] == []


@pytest.mark.parametrize("page", TEXTS)
def test_no_page_speaks_of_one_machine(page: str) -> None:
    """No path below a file system's root, and no host of a package registry."""
    without_urls = re.sub(r"\b\w+://\S+", "", TEXTS[page])
    assert not re.findall(
        r"(?<![\w.}/>-])/(?:home|root|tmp|usr|var|opt|work|etc|mnt|Users)/\S*", without_urls
    )
    hosts = r"pypi\.|pythonhosted|maven\.org|registry\.(?!example\.com)|artifactory"
    assert not re.findall(hosts, TEXTS[page], re.IGNORECASE)


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
    reference = TEXTS["deploy/definitions/reference.md"]
    section = reference.partition("## Against flapping\n")[2].partition("\n## ")[0]
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
