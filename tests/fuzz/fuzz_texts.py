"""Coverage-guided fuzzing of the definitions' reader and of the condition language, with atheris.

``python tests/fuzz/fuzz_texts.py definitions 600`` and ``… conditions 600`` run for 600 seconds each. What fails is kept
in a file that libFuzzer names (``crash-…``, ``timeout-…``); given in place of the seconds it is run alone. Bytes are
either the text itself, or (the first one odd) decide how good definitions are broken: chance alone hardly ever writes
YAML with a meaning.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SHORT = """\
version: 1
traits: {age: number, plan: text, born: time, vip: boolean}
features:
  orders: {op: count}
  revenue_365d: {op: sum, of: properties.revenue, window: 365d}
  last_order: {op: last_time}
  country: {op: last, of: traits.address.country}
segments:
  fuzzed: {when: {}}
"""

MOST_SECONDS = 120
"""For one input, on a machine that has other work; each takes well under a second of CPU."""

ABSENT = """\
NOT FUZZED: atheris is not installed for this interpreter; `pip install atheris` (it has wheels for Linux on x86-64,
Python 3.11 to 3.13)
"""

HAS_WHEELS = sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether atheris can be had here: then its absence is a failure, or nobody would notice that nothing was fuzzed."""


class Bytes:
    """A `texts.Chance` that a fuzzer's bytes decide; when they have run out it is always the first.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound - 1``."""
        width = (bound.bit_length() + 7) // 8
        piece = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(piece, "little") % bound


class Targets:
    """What is fuzzed.

    Parameters
    ----------
    module : module
        `tests.texts`, imported once imports are watched.
    """

    def __init__(self, module: Any) -> None:
        self._texts = module
        self._files = tuple(module.good(number) for number in range(len(module.FILES)))

    def definitions(self, data: bytes) -> None:
        """Read bytes as definitions."""
        self._texts.check(self._text(data, self._files))

    def conditions(self, data: bytes) -> None:
        """Read bytes as a condition."""
        self._texts.check(SHORT.replace("{}", json.dumps(self._text(data, self._texts.conditions())), 1))

    def _text(self, data: bytes, goods: tuple[str, ...]) -> str:
        if not data[:1] or not data[0] & 1:
            return data[1:].decode("utf-8", "replace")
        chance = Bytes(data[1:])
        text: str = self._texts.broken(chance, goods[chance.below(len(goods))], 1 + chance.below(4))
        return text


def main(target: str, how_long: str) -> int:
    """Fuzz a target for so many seconds, or run the one input in a file; return the exit code."""
    alone = Path(how_long).is_file()
    atheris: Any = None
    if find_spec("atheris") is not None:
        atheris = import_module("atheris")
    elif not alone:
        sys.stderr.write(ABSENT)
        return 1 if HAS_WHEELS else 0
    sys.path.insert(0, str(Path(__file__).parents[2]))
    watched = nullcontext() if alone else atheris.instrument_imports(include=["segstream", "lark", "ruamel"])
    with watched:
        module: Any = import_module("tests.texts")
    targets = Targets(module)
    run: Callable[[bytes], None] = getattr(targets, target)
    if alone:
        run(Path(how_long).read_bytes())
        return 0
    with tempfile.TemporaryDirectory() as corpus:
        seeds = [b"\0" + text.encode() for text in (*map(module.good, range(3)), *module.conditions())]
        seeds += [bytes((1, *(number * 37 % 251 for _ in range(6)))) for number in range(200)]
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = (
            f"-max_total_time={how_long}",
            f"-timeout={MOST_SECONDS}",
            "-rss_limit_mb=2048",
            "-max_len=20000",
        )
        atheris.Setup([sys.argv[0], corpus, *limits], run)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
