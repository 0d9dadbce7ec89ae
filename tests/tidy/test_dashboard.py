"""Grafana takes the dashboard for what it is meant to be: by the types that Grafana publishes of its own schema, of the
version that compose starts.

They drop what they do not know and believe every value, so what came through is compared with what was given, and each
value with what its place is declared to hold.
"""

import enum
import json
import re
import types
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel

from tests.tidy.sources import ROOT

PATH = ROOT / "deploy/grafana/dashboards/viaduct.json"


def dashboard() -> Any:
    return json.loads(PATH.read_text())


def read(given: Any) -> Dashboard:
    register_default_plugins()
    return Dashboard.from_json(given)


def lost(given: Any, known: Any, at: str = "$") -> Iterator[str]:
    """What of the first is not, or otherwise, in the second."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            if name in known:
                yield from lost(value, known[name], f"{at}.{name}")
            else:
                yield f"{at}.{name} is not known"
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from lost(one, other, f"{at}[{number}]")
    elif given != known:
        yield f"{at} is {given!r}, and was read as {known!r}"


def wrong(value: Any, declared: Any, at: str = "$") -> Iterator[str]:
    """Values that are not of the type that their place is declared to have."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if declared in (Any, object):
        # What a panel's options or a query are depends on the kind of panel or source, whose own types were taken.
        if type(value).__module__.startswith("grafana_foundation_sdk"):
            yield from wrong(value, type(value), at)
    elif origin in (typing.Union, types.UnionType):
        fitting = [one for one in arguments if one is not type(None)] if value is not None else arguments
        if len(fitting) == 1 or type(value) in fitting:
            yield from wrong(value, type(value) if type(value) in fitting else fitting[0], at)
        elif all([*wrong(value, one, at)] for one in fitting):
            yield f"{at} is {value!r}, none of {declared}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{at} is {value!r}, no list"
            return
        for number, one in enumerate(value):
            yield from wrong(one, arguments[0], f"{at}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{at} is {value!r}, no object"
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{at} is {value!r}, none of {arguments}"
    elif isinstance(declared, type) and issubclass(declared, enum.Enum):
        if value not in [one.value for one in declared]:
            yield f"{at} is {value!r}, none of {[one.value for one in declared]}"
    elif isinstance(declared, type) and declared.__module__.startswith("grafana_foundation_sdk"):
        if not isinstance(value, declared):
            yield f"{at} is {value!r}, no {declared.__name__}"
            return
        for name, of_attribute in typing.get_type_hints(type(value)).items():
            yield from wrong(getattr(value, name), of_attribute, f"{at}.{name}")
    elif declared is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{at} is {value!r}, no number"
    elif not isinstance(value, declared) or (declared is int and isinstance(value, bool)):
        yield f"{at} is {value!r}, no {declared}"


def faults(given: Any) -> list[str]:
    """What Grafana would not take as it is meant."""
    known = read(given)
    return [*lost(given, json.loads(json.dumps(known, cls=JSONEncoder))), *wrong(known, Dashboard)]


def test_grafana_takes_the_dashboard_as_it_is_meant() -> None:
    assert faults(dashboard()) == []


def test_every_panel_was_read_as_one_of_its_kind() -> None:
    panels = read(dashboard()).panels
    assert panels
    for panel in panels:
        assert isinstance(panel, RowPanel) or type(panel.options).__module__.endswith(f".{panel.type_val}")
        for target in panel.targets or () if isinstance(panel, Panel) else ():
            assert type(target).__module__.endswith(".prometheus")


def test_a_dashboard_with_faults_is_not_taken() -> None:
    changes: list[tuple[Callable[[Any], object], str]] = [
        (lambda one: one["panels"][1].update(titel="x"), "titel is not known"),
        (lambda one: one["panels"][1]["options"]["legend"].update(displayMode="lst"), "display_mode is 'lst'"),
        (lambda one: one["panels"][1]["options"]["tooltip"].update(sort="up"), "sort is 'up'"),
        (lambda one: one["panels"][1]["fieldConfig"]["defaults"].update(min="low"), "min_val is 'low'"),
        (lambda one: one["panels"][1]["targets"][0].update(exp="up"), "exp is not known"),
        (lambda one: one["panels"][1].update(gridPos={"x": 0, "y": 0, "w": "wide", "h": 1}), "w is 'wide'"),
        (lambda one: one.update(refresh=["30s"]), "refresh is"),
    ]
    for change, fault in changes:
        given = dashboard()
        change(given)
        assert any(fault in one for one in faults(given)), (fault, faults(given))


def test_the_schema_is_that_of_the_grafana_which_compose_starts() -> None:
    image = re.search(r"image: grafana/grafana:([0-9.]+)\n", (ROOT / "docker-compose.yml").read_text())
    assert image is not None
    assert version("grafana-foundation-sdk").rpartition("!")[2] == image[1]
