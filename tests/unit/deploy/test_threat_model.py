"""deploy/threat-model.md: one page, and each measure it names is there."""

from __future__ import annotations

import re
from typing import Final

from segstream.settings import PREFIX, Settings
from tests.manifests import ROOT

TEXT: Final = (ROOT / "deploy" / "threat-model.md").read_text(encoding="utf-8")
PAGE: Final = 900
"""Words."""


def test_every_test_and_file_it_points_to_is_there() -> None:
    """Tests by their path below ``tests``, or by a name that is one file's; files below ``deploy``."""
    tests = set(re.findall(r"`((?:unit|integration|faults)/[\w/]+(?:\.py)?|test_\w+\.py)`", TEXT))
    assert len(tests) > 8
    for name in tests:
        assert len(list((ROOT / "tests").rglob(name))) == 1, name
    for name in re.findall(r"`([\w/.-]+\.(?:yaml|acl|yml))`", TEXT):
        places = [*(ROOT / "deploy").rglob(name), *ROOT.glob(name)]
        assert places, name
    targets = re.findall(r"`make (\w+)`", TEXT)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_it_names_settings_that_exist_and_fits_a_page() -> None:
    """Whoever reads it reads all of it."""
    named = set(re.findall(rf"{PREFIX}([A-Z_]+)", TEXT))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
    assert len(TEXT.split()) <= PAGE
