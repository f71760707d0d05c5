"""`make fuzz` where there is no atheris."""

from __future__ import annotations

import platform
import subprocess
import sys

from tests.readme import ROOT

SCRIPT = ROOT / "tests" / "fuzz" / "fuzz_texts.py"


def test_nothing_fuzzed_is_a_failure_where_atheris_can_be_had() -> None:
    """It has wheels for Linux on x86-64; elsewhere it is said, and no failure."""
    # -S: without what is installed.
    command = [sys.executable, "-I", "-S", str(SCRIPT), "definitions", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "NOT FUZZED: atheris is not installed" in ran.stderr
    assert ran.returncode == (sys.platform == "linux" and platform.machine() == "x86_64")
