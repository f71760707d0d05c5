"""The condition language: typed, three-valued, and aware of time.

Text goes through `parser` (grammar.lark), `check` (names and kinds) and becomes functions: `values`, `truths`, and
`holds`, which also says until when the answer stays as it is. No user text is ever run as Python.

Examples
--------
>>> from segstream.core.features import FeatureSpec, build
>>> scope = {"orders": (0, build(FeatureSpec("count"))), "last_order": (1, build(FeatureSpec("last_time")))}
>>> at_risk = compile_condition("orders >= 2 and since(last_order) > 60d", scope)
>>> [item.text for item in at_risk.inputs]
['orders', 'since(last_order)']
>>> compile_condition("since(last_order) > 60", scope)
Traceback (most recent call last):
segstream.core.expressions.errors.ExpressionError: since(last_order) is a duration and 60 is a number; write a unit, for instance 60d
"""

from segstream.core.expressions.check import Scope, asked
from segstream.core.expressions.condition import Condition, Input, Number, compile_condition, compile_number
from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.filters import Filter, compile_filter

__all__ = [
    "Condition",
    "ExpressionError",
    "Filter",
    "Input",
    "Number",
    "Scope",
    "asked",
    "compile_condition",
    "compile_filter",
    "compile_number",
]
