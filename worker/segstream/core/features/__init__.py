"""Accumulators: what is remembered of a user's events, one small state per feature.

Each is built once from a feature's definition by `build` and works on states it does not own::

    state = accumulator.zero()
    state = accumulator.add(state, at, value, message_id)
    accumulator.value(state, now)

For every one of them: the order of arrival never matters, ``merge`` equals adding both streams, no operation
changes a state it was given, and a state is plain msgpack of bounded size.

Examples
--------
>>> orders = build(FeatureSpec("count"))
>>> orders.value(orders.add(orders.zero(), 865987200000, None, "m1"), 865987200000)
1
"""

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import PER_UNIT, scaled
from segstream.core.features.grid import default_resolution
from segstream.core.features.registry import REGISTRY, build
from segstream.core.features.spec import FeatureSpec

__all__ = ["PER_UNIT", "REGISTRY", "Accumulator", "FeatureSpec", "build", "default_resolution", "scaled"]
