"""Syntax tree -> typed tree: every name known, every kind fitting, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from segstream.core.expressions import kinds
from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.tree import (
    Arithmetic,
    Comparator,
    Compare,
    Constant,
    Junction,
    Member,
    Negation,
    Negative,
    Node,
    Operator,
    Read,
    Since,
    write,
)
from segstream.core.expressions.values import fold
from segstream.core.features import Accumulator
from segstream.core.time import CENTURY, DAY, parse_duration
from segstream.core.types import ValueKind

if TYPE_CHECKING:
    from lark import Token, Tree

Scope: TypeAlias = Mapping[str, tuple[int, Accumulator]]
"""Name as written in a condition -> (index into the user's states, accumulator)."""

_FUNCTIONS: Final = ("since",)
_WORDS: Final = ("and", "or", "not", "in", "true", "false")
_SHOWN: Final = 6


def check(tree: Tree[Token] | Token, scope: Scope) -> Node:
    """Give every part its kind.

    Parameters
    ----------
    tree : lark.Tree
        As `parse` returns it.
    scope : mapping
        The names that may be read.

    Raises
    ------
    ExpressionError
        If a name is unknown or kinds do not fit.
    """
    return _Checker(scope).node(tree)


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
    hint = f"{text} == true" if node.kind is ValueKind.ANY else kinds.example(node.kind, text)
    message = f"{text} is {kinds.article(node.kind)}, not a condition; compare it, for instance {hint}"
    raise ExpressionError(message, node.offset)


class _Checker:
    """One method per rule of the grammar."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

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
        if value > 1e15:  # noqa: PLR2004 (beyond it a double cannot tell neighbours with tenths apart)
            raise ExpressionError(f"{text} is too large; at most 1e15", at)
        return Constant(value, ValueKind.NUMBER, at)

    def _duration(self, parts: list[Token], at: int) -> Node:
        try:
            length = parse_duration(str(parts[0]))
        except ValueError as error:
            raise ExpressionError(str(error), at) from None
        if length > CENTURY:
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
            raise ExpressionError(f"unknown name {name!r}{self._hint(name, beside)}", at, name)
        index, accumulator = self.scope[name]
        return Read(name, index, accumulator, accumulator.kind, at)

    def _call(self, parts: list[Tree[Token] | Token], at: int) -> Node:
        name, arguments = str(parts[0]), parts[1:]
        if name not in _FUNCTIONS:
            near = get_close_matches(name.lower(), _FUNCTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "there is since(x); counts and sums are features"
            raise ExpressionError(f"unknown function {name!r}; {hint}", at)
        if len(arguments) != 1:
            raise ExpressionError(f"since() takes one time, not {len(arguments)} values", at)
        operand = self._value(arguments[0])
        if operand.kind is not ValueKind.TIME:
            message = f"since() needs a time and {write(operand)} is {kinds.article(operand.kind)}; "
            raise ExpressionError(message + "use a feature with op last_time or first_time", operand.offset)
        return Since(operand, at)

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
        if isinstance(node, Compare | Member | Junction | Negation):
            message = f"({write(node)}) is true or false, not a value; combine conditions with and, or, not"
            raise ExpressionError(message, node.offset)
        return node

    def _hint(self, name: str, beside: Node | None) -> str:
        if name.lower() in _WORDS:
            return f"; write {name.lower()} in small letters"
        close = get_close_matches(name.lower(), {known.lower(): known for known in self.scope}, 1, 0.7)
        for known in self.scope:
            if known.lower() in {*close, f"traits.{name.lower()}"}:
                return f"; did you mean {known!r}?"
        if beside is not None and beside.kind in {ValueKind.TEXT, ValueKind.ANY}:
            return f"; a text needs quotes: '{name}'"
        if not self.scope:
            return "; no features are defined"
        shown = sorted(self.scope)[:_SHOWN]
        return f"; known are {', '.join(shown)}{', …' if len(self.scope) > _SHOWN else ''}"
