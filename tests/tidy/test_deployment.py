"""The files of `deploy/` agree with the program: routes, options, metrics, roles."""

import re
import tomllib
from pathlib import Path

import hs_workers.registry
from hs_common.config import load
from hs_common.process.commands.routes import declared_routes
from hs_common.process.metrics import Metrics
from hs_common.process.proxy_routes import render
from tests.tidy.sources import ROOT


def test_routes_of_the_proxy_are_current() -> None:
    """When this fails: run deploy/update."""
    assert (ROOT / "deploy/haproxy/routes.map").read_text() == render(declared_routes(), "haproxy")


def test_every_role_has_a_service_a_backend_and_a_scrape_target() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    proxy = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    scraped = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    for role, endpoints in hs_workers.registry.ENDPOINTS.items():
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


def test_alerts_use_metrics_that_exist() -> None:
    text = Metrics().exposition().decode()
    known = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    known |= {name.removesuffix("_total") for name in known}
    # Told only once something is watched, which the main modules do.
    known |= {"viaduct_reactor_longest_turn_seconds", "viaduct_background_failures"}
    used = set(re.findall(r"\bviaduct_\w+", (ROOT / "deploy/prometheus/alerts.yml").read_text()))
    unknown = {
        name for name in used if name not in known and re.sub(r"_(bucket|count|sum|total)$", "", name) not in known
    }
    assert used
    assert unknown == set()
