"""Dashboards and alerts ask for what the processes of a running server really export: metrics, labels, names of queues.

Queries are parsed by Prometheus' own grammar. What a process has not yet counted has no samples, and so no labels to
look at: plays that share the server leave some.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.server import Server
from tests.tidy.sources import ROOT

OF_PROMETHEUS: Final = {"role", "job", "instance"}
"""Labels that it gives to all that it scrapes: ours must have other names."""
NOT_OURS: Final = {"up"}
_SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def objects(value: Any) -> Iterator[Any]:
    """All objects of a JSON value, wherever they are."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(one)


def queries() -> Iterator[tuple[str, str]]:
    """All that dashboards and alerts ask, each with what is said of the answer: names of labels are marked in it."""
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for one in objects(json.loads(path.read_text())):
            if "expr" in one:
                yield one["expr"].replace("$__rate_interval", "1m"), one.get("legendFormat", "")
            assert "query" not in one, "a variable asks too"
    for path in sorted((ROOT / "deploy/prometheus").glob("*.yml")):
        for one in objects(yaml.safe_load(path.read_text())):
            if "expr" in one:
                yield one["expr"], " ".join(one.get("annotations", {}).values())


@dataclass
class Exported:
    """What processes export: samples' names, and the values that each label of a family with samples has."""

    names: set[str] = field(default_factory=set)
    labels: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, exposition: str) -> None:
        """What one process says."""
        for family in text_string_to_metric_families(exposition):
            self.names |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))}
            for sample in family.samples:
                known = self.labels.setdefault(sample.name, {})
                for name, value in sample.labels.items():
                    known.setdefault(name, set()).add(value)


def parts(query: str) -> list[Any]:
    """All nodes of a query. ValueError for one that Prometheus would not read."""
    found: list[Any] = []

    def see(node: Any) -> bool:
        found.append(node)
        return True

    promql.walk(promql.parse(query), see)
    return found


def unanswered(query: str, exported: Exported) -> Iterator[str]:
    """What is asked for in vain."""
    nodes = parts(query)
    asked = [one for one in nodes if isinstance(one, promql.VectorSelector) and one.name not in NOT_OURS]
    for selector in asked:
        if selector.name not in exported.names:
            yield f"nobody exports {selector.name}: {query}"
            continue
        known = exported.labels.get(selector.name)
        if known is None:
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in known and matcher.name not in OF_PROMETHEUS:
                yield f"{selector.name} has no label {matcher.name}: {query}"
            elif matcher.op == promql.MatchOp.Equal and matcher.name == "queue" and matcher.value not in known["queue"]:
                yield f"there is no queue {matcher.value}: {query}"
    sampled = [exported.labels[one.name] for one in asked if one.name in exported.labels]
    if sampled and len(sampled) == len(asked):
        grouping = [one.modifier for one in nodes if isinstance(one, promql.AggregateExpr) and one.modifier]
        for label in {label for one in grouping for label in one.labels} - OF_PROMETHEUS:
            if not any(label in labels for labels in sampled):
                yield f"nothing has the label {label}: {query}"


def told_in_vain(query: str, said: str, exported: Exported) -> Iterator[str]:
    """Labels that are named in a legend or a text, and that no answer has."""
    nodes = parts(query)
    groupings = [one.modifier for one in nodes if isinstance(one, promql.AggregateExpr) and one.modifier]
    asked = [str(one.name) for one in nodes if isinstance(one, promql.VectorSelector)]
    had: set[str] | None = None
    if groupings:
        had = {label for one in groupings for label in one.labels}
    elif all(name in exported.labels for name in asked):
        had = OF_PROMETHEUS.union(*(exported.labels[name] for name in asked))
    elif set(asked) <= NOT_OURS:
        had = OF_PROMETHEUS
    for label in re.findall(r"\{\{ ?(?:\$labels\.)?(\w+)", said):
        if had is not None and label not in had:
            yield f"no answer has the label {label}: {query}"


def metrics_ports(server: Server) -> Iterator[int]:
    """Of all processes that were told to have one."""
    for process in server.processes():
        arguments = Path(f"/proc/{process.process_id}/cmdline").read_bytes().decode().split("\0")
        if "--metrics-port" in arguments:
            yield int(arguments[arguments.index("--metrics-port") + 1])


def test_everything_that_is_asked_is_there(server: Server) -> None:
    exported = Exported()
    for port in [*metrics_ports(server)] or [server.port]:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            exported.add(response.read().decode())
    taken = {
        f"{name} {label}" for name, labels in exported.labels.items() for label in labels if label in OF_PROMETHEUS
    }
    assert taken == set()
    asked = list(queries())
    assert len(asked) > 50
    assert [fault for query, _ in asked for fault in unanswered(query, exported)] == []
    assert [fault for query, said in asked for fault in told_in_vain(query, said, exported)] == []


def test_the_search_finds_what_is_asked_in_vain() -> None:
    exported = Exported()
    exported.add('# TYPE a_total counter\na_total{b="1"} 1\n')
    exported.add('# TYPE viaduct_queue_length gauge\nviaduct_queue_length{queue="x"} 1\n')
    assert list(unanswered('sum by (b, role) (rate(a_total{b="2", job="x"}[5m]))', exported)) == []
    faults = [
        *unanswered("rate(other_total[5m])", exported),
        *unanswered('a_total{c="1"}', exported),
        *unanswered("sum by (c) (a_total)", exported),
        *unanswered('viaduct_queue_length{queue="y"}', exported),
    ]
    assert [re.sub(":.*", "", fault) for fault in faults] == [
        "nobody exports other_total",
        "a_total has no label c",
        "nothing has the label c",
        "there is no queue y",
    ]


def test_labels_that_no_answer_has_are_found() -> None:
    exported = Exported()
    exported.add('# TYPE a_total counter\na_total{b="1"} 1\n')
    for query in ("a_total", "sum by (b, role) (rate(a_total[5m]))", "unknown_total"):
        assert list(told_in_vain(query, "{{b}} {{ $labels.role }} {{ $value | humanize }}", exported)) == []
    assert len(list(told_in_vain("a_total", "{{c}}", exported))) == 1
    assert len(list(told_in_vain("sum by (role) (a_total)", "{{ $labels.b }}", exported))) == 1
    assert len(list(told_in_vain("up == 0", "{{ $labels.b }}", exported))) == 1
