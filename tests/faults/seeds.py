"""Where a scenario's events are drawn from: by chance, unless a seed is given."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "SEGSTREAM_TEST_SEED"
"""A seed that a scenario printed when it failed: the same events, but not the same moments, since those are the machine's."""


def draw_seed(environment: Mapping[str, str] = os.environ) -> int:
    """Return the seed that is given, or a new one; print how to have it again, which is shown when the test fails.

    Examples
    --------
    >>> draw_seed({VARIABLE: "4711"})
    SEGSTREAM_TEST_SEED=4711
    4711
    """
    given = environment.get(VARIABLE)
    seed = int(given) if given else random.randrange(1 << 32)
    print(f"{VARIABLE}={seed}")  # noqa: T201 - shown when the test fails
    return seed
