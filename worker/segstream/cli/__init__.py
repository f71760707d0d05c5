"""The command `segstream`. It is there even without what the program needs, and then says what to install."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

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
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OWN:
            raise
        sys.stderr.write(f"segstream: {missing} is not installed: pip install 'segstream[worker]'\n")
        return 1
    code: int = program.main(argv)
    return code
