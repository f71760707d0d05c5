"""YAML 1.2 text -> plain data that remembers where every part stood.

``ruamel.yaml`` parses (so ``NO`` is a country and ``on`` a word); what is built from its nodes is made here, because
nothing but mappings, lists, text, numbers and truth values is wanted, and each needs its place for the errors.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from segstream.core.definitions.names import slip
from segstream.errors import DefinitionError

MAX_BYTES: Final = 1 << 20
"""Size of a document. A thousand segments of three lines fit ten times over."""

MAX_PARTS: Final = 100_000
"""Values of a document, those repeated by an alias counted each time: no billion laughs."""

MAX_DEPTH: Final = 12
"""Levels of a document; the deepest that means something is five."""

Path: TypeAlias = tuple[str | int, ...]

_ADVICE: Final = {
    "found character '\\t'": "indent with blanks, not tabs",
    "expected ','": "a condition with [ ] { } , or : needs quotes",
    "expected <block end>, but found '<block mapping start>'": "indent this line like those around it",
    "expected <block end>": "put other quotes around a text that has quotes in it",
    "mapping values are not allowed": "put a text with a : into quotes, or begin a new line and indent it",
    "could not find expected ':'": "write a : and a blank after the key above",
    "end of stream": "this quote is never closed",
    "cannot start any token": "a text that begins so needs quotes",
    "undefined alias": "a text that begins with * needs quotes",
    "a comment or a line break": "a text that has quotes or begins with > or | needs quotes around the whole",
    "another document": "one file is one document; remove the ---",
}
"""What a YAML parser says -> what to do."""

_TAG: Final = "tag:yaml.org,2002:"
_EMPTY: Final = "the file is empty; begin with version: 1"
_TOO_DEEP: Final = f"this is nested too deeply; at most {MAX_DEPTH} levels"
_BREAK: Final = re.compile("\n")
_ODD: Final = "\u00a0\u2007\u202f\u3000\u200b"
_ODD_INDENT: Final = re.compile(f"^([ \t]*)[{_ODD}][ \t{_ODD}]*", re.MULTILINE)
_NO_COLON: Final = re.compile(r" *(\w+) +\{")


@dataclass(slots=True)
class Source:
    """A parsed document.

    Parameters
    ----------
    text, file : str
        The document, and its name as the user gave it.
    data : Any
        Its content: dict, list, str, int, float, bool, None.
    mistakes : list of DefinitionError
        What was found wrong so far.
    values, keys : dict
        The node of every value, and of the key it stands under, by path.
    broken : set of (str, str)
        Section and name of what is wrong in itself. What reads it is not blamed for it.
    """

    text: str
    file: str
    data: Any = None
    mistakes: list[DefinitionError] = field(default_factory=list)
    values: dict[Path, Node] = field(default_factory=dict)
    keys: dict[Path, Node] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)
    _lines: list[int] = field(default_factory=list)

    def mistake(
        self, message: str, path: Path = (), *, key: bool = False, offset: int | None = None
    ) -> DefinitionError:
        """Return an error at a part of the document.

        Parameters
        ----------
        message : str
            What is wrong.
        path : tuple
            Keys and indices down to the part; the nearest one above is taken where there is none.
        key : bool
            Point at the key instead of the value.
        offset : int or None
            Point at this character of the value's text.
        """
        while path and path not in self.values:
            path, key = path[:-1], True
        node = self.values.get(path)
        # An empty value stands nowhere: ruamel gives the place of what follows.
        if path in self.keys and (
            key or (node is not None and not node.value and node.start_mark is node.end_mark)
        ):
            node = self.keys[path]
        if node is None:
            return DefinitionError(message, self.file)
        return self.locate(
            message, node.start_mark.index if offset is None else _index_of(self.text, node, offset)
        )

    def misspelt(self, name: str, path: Path, *, blanks: bool = True) -> None:
        """Tell of what is most likely a slip in a name; see `segstream.core.definitions.names`."""
        found = slip(name, blanks=blanks)
        if found is None:
            return
        # The parser's text has no place behind its last sign: a blank there stands one after that.
        behind = found.offset and name[found.offset].isspace()
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        offset = found.offset - 1 if behind else found.offset or None
        told = self.mistake(f"{key}: {name!r}: {found.message}", path, offset=offset)
        column = told.column + (1 if behind else 0)
        self.mistakes.append(DefinitionError(told.message, told.file, told.line, column, told.source))

    def locate(self, message: str, index: int) -> DefinitionError:
        """Return an error at a character of the document, counted from 0."""
        line = self.line_of(index)
        begin = self._lines[line]
        end = self.text.find("\n", begin)
        source = self.text[begin : len(self.text) if end < 0 else end]
        return DefinitionError(message, self.file, line + 1, index - begin + 1, source)

    def line_of(self, index: int) -> int:
        """Return the line of a character, both counted from 0.

        The parser's own count is another: for it a few exotic characters end lines too, for editors they do not.
        """
        if not self._lines:
            self._lines = [0, *(found.end() for found in _BREAK.finditer(self.text))]
        return bisect_right(self._lines, index) - 1


def parse(text: str, file: str) -> Source:
    """Parse a document; ``data`` is None where it cannot be told what was meant.

    Parameters
    ----------
    text : str
        YAML 1.2, at most 1 MiB.
    file : str
        Its name, for the errors.

    Examples
    --------
    >>> parse("countries: [NO, SE]", "f.yaml").data
    {'countries': ['NO', 'SE']}
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    source = Source(text, file)
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_BYTES:
        message = f"the file has more than {MAX_BYTES:,} bytes, the most there may be; is it the right one?"
        source.mistakes.append(source.locate(message, len(encoded[:MAX_BYTES].decode(errors="ignore"))))
        return source
    try:
        node = _reader().compose(text)
    except MaxDepthExceededError as error:
        source.mistakes.append(source.locate(_TOO_DEEP, error.problem_mark.index))
    except MarkedYAMLError as error:
        source.mistakes.append(_broken(source, *_reason(error)))
    except ReaderError as error:
        code = int(error.character)
        message = f"not valid YAML: the character U+{code:04X} is not allowed; remove it"
        source.mistakes.append(source.locate(message, text.find(chr(code))))
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        source.mistakes.append(source.locate(f"not valid YAML: {reason}", 0))
    else:
        if node is None:
            source.mistakes.append(source.locate(_EMPTY, 0))
        else:
            builder = _Builder(source)
            data = builder.build(node, ())
            source.data = None if builder.cut else data
            if data is None and not source.mistakes:  # null, or nothing behind ---
                source.mistakes.append(source.mistake(_EMPTY))
    return source


def _reason(error: MarkedYAMLError) -> tuple[str, int]:
    """Return what a YAML parser says, and at which character."""
    mark: StringMark | None = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context)
    if "end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark  # where the quote opens
    return problem, mark.index if mark else 0


def _broken(source: Source, problem: str, index: int) -> DefinitionError:
    """Return what a YAML parser says, with what to do; where blanks are no blanks to it, at the first of those."""
    odd = _ODD_INDENT.search(source.text, 0, index + 1)
    if odd is not None and _reads_on(_ODD_INDENT.sub(lambda found: " " * len(found[0]), source.text), index):
        place = odd.end(1)
        message = f"not valid YAML: this line begins with U+{ord(source.text[place]):04X}, not with a blank, as in a "
        return source.locate(message + "copied text; type the blanks anew", place)
    begin = source.text.rfind("\n", 0, index) + 1
    advice = next((told for words, told in _ADVICE.items() if words in problem), "")
    if problem.startswith("mapping values") and (key := _NO_COLON.match(source.text, begin)):
        return source.locate(f"not valid YAML: write a : after {key[1]}", key.end(1))
    return source.locate(f"not valid YAML: {problem}{'; ' if advice else ''}{advice}", index)


def _reads_on(text: str, index: int) -> bool:
    """Tell whether a document is valid, or at least beyond a character: blanks of another kind may stand in its texts."""
    try:
        _reader().compose(text)
    except MarkedYAMLError as error:
        return _reason(error)[1] > index
    except (YAMLError, ValueError):
        return False
    return True


def _reader() -> YAML:
    """Return a parser that recurses no deeper than anything is meant, and is silent where an anchor comes again."""
    reader = YAML(typ="safe", pure=True)
    reader.max_depth = MAX_DEPTH + 1  # the document itself is the first
    reader.composer.warn_double_anchors = False
    return reader


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.parts = 0
        self.cut = False

    def build(self, node: Node, path: Path) -> Any:
        self.parts += 1
        self.source.values[path] = node
        self.cut = self.cut or self.parts > MAX_PARTS or len(path) > MAX_DEPTH
        if self.parts > MAX_PARTS:
            return self._refuse(f"the file has more than {MAX_PARTS} values, aliases included", path)
        if len(path) > MAX_DEPTH:
            return self._refuse(_TOO_DEEP, path)
        match node:
            case MappingNode():
                return dict(self._entries(node, path))
            case SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    if self.parts > MAX_PARTS:
                        break
                    items.append(self.build(item, (*path, index)))
                return items
            case _:
                return self._scalar(node, path)

    def _entries(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if self.parts > MAX_PARTS:
                return
            if not isinstance(key, ScalarNode):
                self._refuse("a key must be a plain word", path)
                continue
            name = str(key.value)
            there = (*path, name)
            if name in seen:
                self.source.values.setdefault(there, value)
                message = f"{name!r} is already defined in line {seen[name] + 1}; give it another name or remove one"
                self.source.mistakes.append(self.source.locate(message, key.start_mark.index))
                continue
            seen[name] = self.source.line_of(key.start_mark.index)
            self.source.keys[there] = key
            yield name, self.build(value, there)

    def _scalar(self, node: Node, path: Path) -> Any:
        text, tag = str(node.value), str(node.tag)
        read = _SCALARS.get(tag.removeprefix(_TAG))
        if read is None:
            hint = ", or put the text into quotes" if tag.startswith("!") else ""
            return self._refuse(f"the tag {tag} has no meaning here; remove it{hint}", path)
        try:
            return read(text)
        except ValueError:
            return text

    def _refuse(self, message: str, path: Path) -> None:
        self.source.mistakes.append(self.source.mistake(message, path))


_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "timestamp": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 10 if text.lstrip("+-").isdigit() else 0),
    "float": float,
}

_ESCAPES: Final = {"x": 4, "u": 6, "U": 10}


def _index_of(text: str, node: Node, offset: int) -> int:
    """Return where in the file the ``offset``-th character of a scalar's text stands.

    Both are walked together: quotes double, escapes are longer than what they mean, and line breaks with their
    indentation stand for a blank.
    """
    value, style = str(node.value), getattr(node, "style", None)
    at, end = int(node.start_mark.index), int(node.end_mark.index)
    if style in {"|", ">"}:
        at = text.index("\n", at) + 1
    elif style:
        at += 1
    if not value[:1].isspace():
        at = _after_blanks(text, at, end)
    for character in value[:offset]:
        at = min(_after(text, at, end, character, style), end)
    # A break may hide blanks before it; what is pointed at is never a blank itself.
    return _after_blanks(text, at, end - 1) if offset < len(value) else at


def _after(text: str, at: int, end: int, character: str, style: str | None) -> int:
    """Step over one character of a scalar, as it is written."""
    if style == '"' and text[at] == "\\":
        at += _ESCAPES.get(text[at + 1], 2)
    elif style == "'" and character == "'":
        at += 2
    elif not character.isspace():
        at += 1
    elif text[at] == "\n":
        at = _after_blanks(text, at, end)
    elif text[at].isspace():  # else the break before has taken it already
        at += 1
    if style == '"' and text.startswith("\\\n", at):
        return _after_blanks(text, at + 1, end)
    return at


def _after_blanks(text: str, at: int, end: int) -> int:
    while at < end and text[at].isspace():
        at += 1
    return at
