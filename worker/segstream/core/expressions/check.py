"""Syntax tree -> typed tree: every name known, every kind fitting, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from segstream.core.expressions import kinds
from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.hints import FUNCTIONS, Advise, about_function, about_name, about_segment
from segstream.core.expressions.patterns import pattern
from segstream.core.expressions.tree import (
    Arithmetic,
    Coalesce,
    Comparator,
    Compare,
    Constant,
    Exists,
    Junction,
    Look,
    Looks,
    Member,
    Negation,
    Negative,
    Node,
    Operator,
    Read,
    Since,
    write,
)
from segstream.core.expressions.values import LARGEST, fold
from segstream.core.features import Accumulator
from segstream.core.time import CENTURY, DAY, parse_duration
from segstream.core.types import Motion, ValueKind

if TYPE_CHECKING:
    from lark import Token, Tree

Scope: TypeAlias = Mapping[str, tuple[int, Accumulator]]
"""Name as written in a condition -> (index into the user's states, accumulator).

A segment that may be asked for stands there as `asked` writes it.
"""


def asked(segment: str) -> str:
    """Return how a condition asks whether the user is in a segment.

    Examples
    --------
    >>> asked("high_value")
    "in_segment('high_value')"
    """
    return f"in_segment('{segment}')"


def check(tree: Tree[Token] | Token, scope: Scope, advise: Advise = about_name) -> Node:
    """Give every part its kind.

    Parameters
    ----------
    tree : lark.Tree
        As `parse` returns it.
    scope : mapping
        The names that may be read.
    advise : callable
        Tells what to write in place of an unknown name; see `hints.about_name`.

    Raises
    ------
    ExpressionError
        If a name is unknown or kinds do not fit.
    """
    return _Checker(scope, advise).node(tree)


def boolean(node: Node) -> Node:
    """Return the node if it can be true or false.

    Raises
    ------
    ExpressionError
        If it is a value of another kind.
    """
    if node.kind is ValueKind.BOOLEAN:
        return node
    text = write(node)
    if isinstance(node, Constant):
        message = f"{text} alone is no condition; compare each value, or list them: x in ['DE', 'NO']"
        raise ExpressionError(message, node.offset)
    hint = f"{text} == true" if node.kind is ValueKind.ANY else kinds.example(node.kind, text)
    message = f"{text} is {kinds.article(node.kind)}, not a condition; compare it, for instance {hint}"
    raise ExpressionError(message, node.offset)


class _Checker:
    """One method per rule of the grammar."""

    def __init__(self, scope: Scope, advise: Advise) -> None:
        self.advise = advise
        self.segments = {name: scope[name] for name in scope if name.startswith("in_segment(")}
        self.scope: Scope = scope
        if self.segments:
            self.scope = {name: place for name, place in scope.items() if name not in self.segments}

    def node(self, tree: Tree[Token] | Token) -> Node:
        rule = cast("Callable[[list[Tree[Token] | Token], int], Node]", getattr(self, f"_{tree.data}"))  # type: ignore[union-attr]  # tokens stand below rules that read them
        return rule(tree.children, getattr(tree.meta, "start_pos", 0))  # type: ignore[union-attr]  # as above

    def _any_of(self, parts: list[Tree[Token]], at: int) -> Node:
        return Junction(decisive=True, parts=tuple(boolean(self.node(part)) for part in parts), offset=at)

    def _all_of(self, parts: list[Tree[Token]], at: int) -> Node:
        return Junction(decisive=False, parts=tuple(boolean(self.node(part)) for part in parts), offset=at)

    def _negation(self, parts: list[Tree[Token]], at: int) -> Node:
        return Negation(boolean(self.node(parts[0])), at)

    def _compare(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        left, sign, right = parts[:3]
        if len(parts) > 3:  # noqa: PLR2004 (left, comparator, right)
            first, second, third = (write(self._value(part)) for part in (left, right, parts[4]))
            message = f"comparisons cannot be chained; write {first} {sign} {second} and {second} {parts[3]} {third}"
            raise ExpressionError(message, parts[3].start_pos or 0)  # type: ignore[union-attr]  # a comparator
        one, other = self._value(left, right), self._value(right, left)
        one, other = kinds.fit(one, other, str(sign))
        return Compare(cast("Comparator", str(sign)), one, other, at)

    def _member(self, parts: list[Tree[Token]], at: int, *, negated: bool = False) -> Node:
        operand = self._value(parts[0])
        items: list[Constant] = []
        fitted: Node = operand
        for part in parts[1].children:
            item = self._value(part, parts[0])
            if not isinstance(item, Constant):
                raise ExpressionError("a list holds plain values only, such as 'DE', 3 or 30d", item.offset)
            fitted, constant = kinds.fit(operand, item, "==")
            if items and items[0].kind is not constant.kind:
                raise ExpressionError("the values of a list must be of one kind", item.offset)
            items.append(cast("Constant", constant))
        if not items:
            raise ExpressionError(
                "the list is empty; name at least one value", getattr(parts[1].meta, "start_pos", at)
            )
        return Member(fitted, tuple(items), negated, at)

    def _looks(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        look = cast("Look", str(parts[1]))
        left, right = self._value(parts[0]), self._value(parts[2], parts[0])
        left, right = kinds.textual(left, look), kinds.textual(right, look)
        if isinstance(left, Constant):
            raise ExpressionError(
                f"{write(left)} is a plain text; name a feature or trait first", left.offset
            )
        if look == "matches":
            if not isinstance(right, Constant):
                raise ExpressionError("a pattern is a text in quotes, for instance '^pro'", right.offset)
            pattern(str(right.value), right.offset)
        return Looks(look, left, right, at)

    def _no_member(self, parts: list[Tree[Token]], at: int) -> Node:
        return self._member(parts, at, negated=True)

    def _arithmetic(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        left, sign, right = self._value(parts[0]), cast("Operator", str(parts[1])), self._value(parts[2])
        kind = kinds.result(left, sign, right, parts[1].start_pos or 0)  # type: ignore[union-attr]  # an operator
        return self._fold(Arithmetic(sign, kinds.numeric(left), kinds.numeric(right), kind, at))

    def _signed(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        operand = kinds.numeric(self._value(parts[1]))
        if operand.kind not in {ValueKind.NUMBER, ValueKind.DURATION}:
            message = (
                f"{write(operand)} is {kinds.article(operand.kind)}; only numbers and durations have a sign"
            )
            raise ExpressionError(message, operand.offset)
        return operand if parts[0] == "+" else self._fold(Negative(operand, operand.kind, at))

    def _fold(self, node: Arithmetic | Negative) -> Node:
        constant = fold(node)
        return node if constant is None else constant

    def _number(self, parts: list[Token], at: int) -> Node:
        text = str(parts[0])
        value = int(text) if text.isdigit() else float(text)
        if value > LARGEST[ValueKind.NUMBER]:
            raise ExpressionError(f"{text} is too large; at most 1e15", at)
        return Constant(value, ValueKind.NUMBER, at)

    def _duration(self, parts: list[Token], at: int) -> Node:
        try:
            length = parse_duration(str(parts[0]))
        except ValueError as error:
            raise ExpressionError(str(error), at) from None
        if length > LARGEST[ValueKind.DURATION]:
            raise ExpressionError(f"{parts[0]} is too long; at most {CENTURY // DAY}d", at)
        return Constant(length, ValueKind.DURATION, at)

    def _text(self, parts: list[Token], at: int) -> Node:
        return Constant(str(parts[0])[1:-1], ValueKind.TEXT, at)

    def _true(self, _: list[Token], at: int) -> Node:
        return Constant(value=True, kind=ValueKind.BOOLEAN, offset=at)

    def _false(self, _: list[Token], at: int) -> Node:
        return Constant(value=False, kind=ValueKind.BOOLEAN, offset=at)

    def _name(self, parts: list[Token], at: int, beside: Node | None = None) -> Node:
        name = str(parts[0])
        if name not in self.scope:
            beside_text = beside is not None and beside.kind in {ValueKind.TEXT, ValueKind.ANY}
            hint = self.advise(name, self.scope, beside_text=beside_text)
            raise ExpressionError(f"unknown name {name!r}{hint}", at, name)
        index, accumulator = self.scope[name]
        return Read(name, index, accumulator, accumulator.kind, at)

    def _call(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        name, arguments = str(parts[0]), parts[1:]
        if name not in FUNCTIONS:
            raise ExpressionError(f"unknown function {name!r}; {about_function(name)}", at)
        count, what = FUNCTIONS[name]
        if len(arguments) != count:
            message = f"{name}() takes {what}, not {len(arguments)} value{'' if len(arguments) == 1 else 's'}"
            raise ExpressionError(message, at)
        rule = cast("Callable[[list[Tree[Token] | Token], int], Node]", getattr(self, f"_call_{name}"))
        return rule(arguments, at)

    def _call_since(self, arguments: list[Tree[Token] | Token], at: int) -> Node:
        operand = self._value(arguments[0])
        if operand.kind is not ValueKind.TIME:
            message = f"since() needs a time and {write(operand)} is {kinds.article(operand.kind)}; "
            raise ExpressionError(message + "use a feature with op last_time or first_time", operand.offset)
        return Since(operand, at)

    def _call_exists(self, arguments: list[Tree[Token] | Token], at: int) -> Node:
        operand = self._value(arguments[0])
        if not isinstance(operand, Read):
            message = f"exists() takes the name of a feature or trait, not {write(operand)}"
            raise ExpressionError(message, operand.offset)
        if operand.accumulator.motion is Motion.DECAY:
            message = f"{operand.name} is a rate and always known, 0 before the first event; compare it"
            raise ExpressionError(message, operand.offset)
        return Exists(operand, at)

    def _call_coalesce(self, arguments: list[Tree[Token] | Token], at: int) -> Node:
        left, right = (self._value(argument) for argument in arguments)
        if isinstance(left, Constant):
            raise ExpressionError(
                f"{write(left)} is always known; name a feature or trait first", left.offset
            )
        left, right = kinds.fit(left, right, "==")
        return Coalesce(left, right, left.kind, at)

    def _call_in_segment(self, arguments: list[Tree[Token] | Token], at: int) -> Node:
        if getattr(arguments[0], "data", "") == "name":
            name = str(arguments[0].children[0])  # type: ignore[union-attr]  # a tree, as just seen
            raise ExpressionError(f"a segment's name needs quotes: {asked(name)}", at)
        operand = self._value(arguments[0])
        if not isinstance(operand, Constant) or operand.kind is not ValueKind.TEXT:
            raise ExpressionError("in_segment() takes a segment's name in quotes", operand.offset)
        name = str(operand.value)
        if asked(name) not in self.segments:
            raise ExpressionError(about_segment(name, self.segments), operand.offset, asked(name))
        index, accumulator = self.segments[asked(name)]
        return Read(asked(name), index, accumulator, accumulator.kind, at)

    def _value(self, tree: Tree[Token] | Token, beside: Tree[Token] | Token | None = None) -> Node:
        """Check an operand; ``beside`` is what it is compared with, for better advice."""
        if (
            beside is not None
            and getattr(tree, "data", "") == "name"
            and getattr(beside, "data", "") == "name"
        ):
            other = self.scope.get(str(beside.children[0]))  # type: ignore[union-attr]  # a tree, as just seen
            if other is not None:
                index, accumulator = other
                read = Read("", index, accumulator, accumulator.kind, 0)
                return self._name(tree.children, tree.meta.start_pos, read)  # type: ignore[union-attr,arg-type]  # as above
        node = self.node(tree)
        if isinstance(node, Compare | Member | Looks | Exists | Junction | Negation):
            message = f"({write(node)}) is true or false, not a value; combine conditions with and, or, not"
            raise ExpressionError(message, node.offset)
        return node
