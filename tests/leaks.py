"""What no log and no output may hold: secrets nowhere, people in no log above DEBUG.

Passwords and tokens of the tests are made by `secret`, and all bear one mark; so do, or look like each other, the ids of
the users whom tests invent. `Watch` looks through what every test leaves: workers' logs, what commands print, what is
logged or printed in the test's own process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

SECRET: Final = "never-show-this"  # noqa: S105 - what secrets of the tests have in common
PERSON: Final = "somebody-"
"""What ids, names and traits begin with that are looked for."""

_SECRETS: Final = re.compile(re.escape(SECRET))
_PEOPLE: Final = re.compile(rf"{PERSON}|(?<![\w-])u(?:\d{{4}}|-\d+)(?![\w-])")
"""Those, and the ids of users and messages that `tests.deployments.orders` makes."""

_SHOWN: Final = 400
"""Characters of a line that has something in it; the secrets of tests are worth nothing."""

found: list[str] = []
"""Since the end of the last test."""


def secret(purpose: str = "password") -> str:
    """Return a password that nothing may show, another each time.

    Parameters
    ----------
    purpose : str
        Part of it; may have spaces.
    """
    return f"{purpose}-{SECRET}-{secrets.token_hex(6)}"


def look(text: str | bytes | None, where: str, *, log: bool = False) -> None:
    """Note the lines that show what they must not.

    Parameters
    ----------
    text : str, bytes or None
        What was printed or logged.
    where : str
        By whom.
    log : bool
        Whether it is a log, which may not tell of people either; what a command answers may.
    """
    text = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    if SECRET not in text and not log:
        return
    for line in text.splitlines():
        if _SECRETS.search(line):
            found.append(f"a secret, {where}: {line[:_SHOWN]}")
        elif log and _PEOPLE.search(line) and not _debug(line):
            found.append(f"a person, {where}: {line[:_SHOWN]}")


def _debug(line: str) -> bool:
    try:
        told = json.loads(line)
    except ValueError:
        return " [debug" in line
    return isinstance(told, dict) and told.get("level") == "debug"


class Watch(logging.Handler):
    """A plugin of pytest that fails the test in which something was shown."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self._undo: list[Callable[[], None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at what is logged in this process."""
        look(self.format(record), f"logged by {record.name}", log=record.levelno > logging.DEBUG)

    def pytest_configure(self) -> None:
        """Begin to watch what programs and commands print."""
        logging.getLogger().addHandler(self)
        self._wrap(subprocess.Popen, "communicate", _of_process)
        self._wrap(pytest.CaptureFixture, "readouterr", _of_command)
        self._wrap(asyncio.subprocess.Process, "communicate", _of_coroutine)

    def pytest_unconfigure(self) -> None:
        """Leave everything as it was."""
        logging.getLogger().removeHandler(self)
        while self._undo:
            self._undo.pop()()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        """Look at what a test printed and nobody asked for."""
        report: pytest.TestReport = yield  # type: ignore[assignment]  # a hook is sent its result
        for name, text in report.sections:
            look(text, name.lower())
        return report  # type: ignore[return-value]  # and returns it

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Fail, once workers have ended and their logs have been looked at."""
        yield
        if found:
            lines = "\n".join(found)
            found.clear()
            pytest.fail(f"shown in or before {item.nodeid}:\n{lines}", pytrace=False)

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, wrapper(original))
        self._undo.append(lambda: setattr(owner, name, original))


def _of_process(original: Any) -> Any:
    def communicate(process: Any, *arguments: Any, **options: Any) -> Any:
        printed = original(process, *arguments, **options)
        _look_at_both(printed, f"printed by {_program(process.args)}")
        return printed

    return communicate


def _of_coroutine(original: Any) -> Any:
    async def communicate(process: Any, *arguments: Any, **options: Any) -> Any:
        printed = await original(process, *arguments, **options)
        _look_at_both(printed, f"printed by process {process.pid}")
        return printed

    return communicate


def _of_command(original: Any) -> Any:
    def readouterr(fixture: Any) -> Any:
        printed = original(fixture)
        _look_at_both(printed, "printed in the test's own process")
        return printed

    return readouterr


def _look_at_both(printed: Any, where: str) -> None:
    for text in printed:
        look(text, where)


def _program(words: Any) -> str:
    return " ".join(map(str, words))[-120:] if isinstance(words, list | tuple) else str(words)[-120:]
