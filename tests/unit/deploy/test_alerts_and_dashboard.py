"""The alerts and the dashboard ask for metrics that exist, by labels that they have, in expressions that can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import promql_parser as promql
import pytest
from ruamel.yaml import YAML

from segstream.adapters.metrics.catalogue import METRICS

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
SCRAPED: Final = {"instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes."""
NOT_OURS: Final = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
"""What prometheus_client tells of any process, and Prometheus of whatever it asks."""


def series() -> dict[str, set[str]]:
    """Return the labels of each series that there is."""
    found: dict[str, set[str]] = {name: set(SCRAPED) for name in NOT_OURS}
    for name, kind, labels, _ in METRICS:
        if kind == "histogram":
            found |= {f"{name}_{part}": {*labels, *SCRAPED} for part in ("sum", "count")}
            found[f"{name}_bucket"] = {*labels, *SCRAPED, "le"}
        else:
            found[name] = {*labels, *SCRAPED}
    return found


SERIES: Final = series()


class Asked(NamedTuple):
    """An expression, and whose it is."""

    by: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    loaded = YAML(typ="safe").load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels."""
    found: list[dict[str, Any]] = dashboard()["panels"]
    return found


def asked() -> Iterator[Asked]:
    """Yield every expression, Grafana's variables filled in."""
    for rule in rules():
        yield Asked(rule["alert"], rule["expr"])
    for annotation in dashboard()["annotations"]["list"]:
        yield Asked(annotation["name"], annotation["expr"])
    for panel in panels():
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            yield Asked(panel["title"], expression)


def selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    """Return all selectors of series in an expression."""
    found: list[promql.VectorSelector] = []

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.VectorSelector):
            found.append(part)
        elif isinstance(part, promql.MatrixSelector):
            found.append(part.vector_selector)

    promql.walk(expression, visit)
    return found


@pytest.mark.parametrize("case", list(asked()), ids=lambda case: case.by)
def test_an_expression_asks_for_series_that_exist_by_labels_that_they_have(case: Asked) -> None:
    """Whatever an alert or a panel names is in the catalogue of metrics."""
    whole = promql.parse(case.expression)
    found = selectors(whole)
    assert found
    for selector in found:
        assert selector.name in SERIES
        assert {matcher.name for matcher in selector.matchers.matchers} <= SERIES[selector.name]

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            for selector in selectors(part.expr):
                assert selector.name is not None
                assert set(part.modifier.labels) <= SERIES[selector.name]

    promql.walk(whole, visit)


def test_every_metric_is_shown() -> None:
    """Nothing is counted that neither the dashboard nor an alert looks at."""
    names = {selector.name for case in asked() for selector in selectors(promql.parse(case.expression))}
    assert {
        metric.name
        for metric in METRICS
        if not names & {metric.name, f"{metric.name}_bucket", f"{metric.name}_sum", f"{metric.name}_count"}
    } == set()


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    """Each has its own name, a severity, a summary of one line and a description."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) >= 10
    for rule in found:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".") is False
        assert rule["annotations"]["description"].endswith(".")


def test_a_worker_that_says_nothing_is_told_by_what_does_not_come_from_it() -> None:
    """Where its loop hangs its page hangs, too, so that no metric of its own can say so; workers only, whatever the job's name."""
    own = {case.by: {each.name for each in selectors(promql.parse(case.expression))} for case in asked()}
    assert own["SegstreamUnreachable"] == {"up", "segstream_build_info"}
    assert [name for name, found in own.items() if "up" in found] == ["SegstreamUnreachable"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    """Each has an id, a place and a description of its own, and a data source that one can choose."""
    places: set[tuple[int, int]] = set()
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in found:
        place = panel["gridPos"]
        squares = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not squares & places, panel["title"]
        assert place["x"] + place["w"] <= 24
        places |= squares
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["fieldConfig"]["defaults"]["unit"]
