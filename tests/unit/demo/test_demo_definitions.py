"""The demo's definitions."""

from __future__ import annotations

from importlib import resources

from segstream.core.definitions import find_mistakes, read_definitions


def test_the_demos_definitions_are_valid_and_show_what_there_is() -> None:
    """Rules, a group, a segmentation that is discovered, and the revenue exposed for the sum at the end."""
    text = resources.files("segstream.demo").joinpath("definitions.yaml").read_text("utf-8")
    assert find_mistakes(text) == []
    definitions = read_definitions(text)
    assert [group.segments for group in definitions.groups] == [("first_time", "active", "at_risk", "lapsed")]
    assert [(model.name, model.clusters) for model in definitions.discovered] == [("behaviour", 6)]
    assert definitions.document.features["revenue"].expose
