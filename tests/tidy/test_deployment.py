"""The files of `deploy/` agree with the program: routes, options, metrics, roles."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import hs_workers.registry
from hs_common.config import load
from hs_common.process.commands.routes import declared_routes
from hs_common.process.proxy_routes import render
from tests.tidy.sources import ROOT


def test_routes_of_the_proxy_are_current() -> None:
    """When this fails: run deploy/update."""
    assert (ROOT / "deploy/haproxy/routes.map").read_text() == render(declared_routes(), "haproxy")


def test_endpoints_that_workers_forward_are_current() -> None:
    """When this fails: run deploy/update."""
    assert hs_workers.registry.DECLARED.read_bytes() == hs_workers.registry.declarations_text()


def test_every_role_has_a_service_a_backend_and_a_scrape_target() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    proxy = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    scraped = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    for role, endpoints in hs_workers.registry.endpoint_classes().items():
        assert f'command: ["worker", "{role}"]' in compose
        assert f"backend viaduct_{role}\n" in proxy or not endpoints
        assert re.search(rf"names: \[.*\b{role}\b.*\]", scraped)


def test_config_of_the_containers_is_good(tmp_path: Path) -> None:
    """Its secrets are files that only the containers have; everything else is checked."""
    text = (ROOT / "deploy/viaduct.toml").read_text()
    without_secrets = re.sub(r"^\w*secret_file = .*$", "", text, flags=re.MULTILINE)
    path = tmp_path / "viaduct.toml"
    path.write_text(without_secrets)
    config = load(path, {})
    assert config.metrics.port == 9100  # as Dockerfile, ready.py, haproxy.cfg and prometheus.yml have it
    assert tomllib.loads(text)["cluster"]["secret_file"].startswith("/var/lib/viaduct/keys/")


def grafana_dashboard() -> Any:
    """The module that makes it: a script of `deploy/`, which is no package."""
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "deploy/grafana/dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dashboard_is_current() -> None:
    """When this fails: run deploy/update."""
    module = grafana_dashboard()
    assert module.PATH.read_text() == module.text()


def test_the_dashboard_has_all_rows() -> None:
    """What its panels ask for is compared with what a running server exports in `tests/scenarios`."""
    panels = grafana_dashboard().dashboard()["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == [
        *("Overview", "Requests", "Log and followers", "Database", "Application services", "Federation", "Media"),
    ]
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len(panels) == len({panel["id"] for panel in panels})


def test_every_metric_of_media_is_shown() -> None:
    text = grafana_dashboard().text()
    declared = re.findall(r'"(viaduct_media_\w+)"', (ROOT / "hs_workers/media/metrics.py").read_text())
    assert [name for name in declared if name not in text] == []


def test_grafana_finds_its_files() -> None:
    """What compose mounts is there, and is where Grafana is told to look."""
    compose = (ROOT / "docker-compose.yml").read_text()
    for mounted in re.findall(r"- \./(deploy/grafana[^:]*):", compose):
        assert (ROOT / mounted).is_dir()
    provider = (ROOT / "deploy/grafana/provisioning/dashboards/viaduct.yml").read_text()
    assert "path: /var/lib/grafana/dashboards\n" in provider
    source = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    assert f"uid: {grafana_dashboard().PROMETHEUS['uid']}\n" in source
