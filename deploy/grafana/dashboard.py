"""Writes the dashboard that Grafana is provisioned with: `python deploy/grafana/dashboard.py`, or `deploy/update`.

A row is a list of panels, a panel its title, its unit and its queries with their legends. Places on the screen and what
else Grafana wants are made up here, so that a change reads as what it changes. Only the standard library is needed.
"""

import json
import sys
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "dashboards" / "viaduct.json"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
PANELS_A_LINE = 3
HEIGHT = 8
INTERVAL = "$__rate_interval"

Panel = tuple[str, str, list[tuple[str, str]]]


def rate(metric: str, by: str, where: str = "") -> str:
    """Of a counter, a second."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[{INTERVAL}]))"


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """Of a histogram; `metric` without its suffix."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[{INTERVAL}])))"


def top(count: int, query: str) -> str:
    """The largest only."""
    return f"topk({count}, {query})"


REQUESTS = "viaduct_http_request_seconds"
EVERYTHING_BUT_WAITING = 'endpoint!~".*/sync|.*/events"'
"""Long polls take long on purpose."""
OUR_FAILURES = 'status=~"50[013]"'
"""502 and 504 tell of another server's."""
SERVICE_QUEUES = 'queue=~"appservice .*"'

ROWS: dict[str, list[Panel]] = {
    "Overview": [
        ("Processes", "short", [('sum by (role) (up{job="viaduct"})', "{{role}}")]),
        ("Requests", "reqps", [(rate(f"{REQUESTS}_count", "role"), "{{role}}")]),
        (
            "Requests that fail",
            "percentunit",
            [
                (
                    f"sum by (role) (rate({REQUESTS}_count{{{OUR_FAILURES}}}[{INTERVAL}]))"
                    f" / sum by (role) (rate({REQUESTS}_count[{INTERVAL}]))",
                    "{{role}}",
                )
            ],
        ),
        (
            "Time to answer, without long polls",
            "s",
            [
                (quantile(0.5, REQUESTS, where=EVERYTHING_BUT_WAITING), "median"),
                (quantile(0.95, REQUESTS, where=EVERYTHING_BUT_WAITING), "95 %"),
                (quantile(0.99, REQUESTS, where=EVERYTHING_BUT_WAITING), "99 %"),
            ],
        ),
        ("CPU", "short", [(rate("viaduct_process_cpu_seconds_total", "role", 'job="viaduct"'), "{{role}}, cores")]),
        ("Memory", "bytes", [('sum by (role) (viaduct_process_resident_memory_bytes{job="viaduct"})', "{{role}}")]),
        ("Longest turn of a reactor", "s", [("max by (role) (viaduct_reactor_longest_turn_seconds)", "{{role}}")]),
        ("Oldest entry of a queue", "s", [(top(10, "max by (queue) (viaduct_queue_oldest_seconds)"), "{{queue}}")]),
        (
            "Background work that failed",
            "short",
            [("sum by (role, name) (increase(viaduct_background_failures_total[15m]))", "{{role}}: {{name}}")],
        ),
    ],
    "Requests": [
        ("By endpoint", "reqps", [(top(15, rate(f"{REQUESTS}_count", "method, endpoint")), "{{method}} {{endpoint}}")]),
        ("By status", "reqps", [(rate(f"{REQUESTS}_count", "status"), "{{status}}")]),
        ("Under way", "short", [("sum by (role) (viaduct_http_requests_in_flight)", "{{role}}")]),
        (
            "Slowest endpoints, 95 %",
            "s",
            [
                (
                    top(15, quantile(0.95, REQUESTS, "method, endpoint", EVERYTHING_BUT_WAITING)),
                    "{{method}} {{endpoint}}",
                )
            ],
        ),
        (
            "Failing endpoints",
            "reqps",
            [(top(15, rate(f"{REQUESTS}_count", "endpoint, status", 'status=~"5.."')), "{{status}} {{endpoint}}")],
        ),
        (
            "Bytes, and requests that reached the wrong role",
            "Bps",
            [
                (rate("viaduct_http_received_bytes_total", "job"), "received"),
                (rate("viaduct_http_sent_bytes_total", "job"), "sent"),
                (rate("viaduct_http_forwarded_total", "wanted"), "forwarded to {{wanted}}, a second"),
            ],
        ),
    ],
    "Log and followers": [
        ("Items appended", "short", [(rate("viaduct_appended_items_total", "kind"), "{{kind}}, a second")]),
        (
            "Time to commit",
            "s",
            [
                (quantile(0.5, "viaduct_append_commit_seconds"), "median"),
                (quantile(0.95, "viaduct_append_commit_seconds"), "95 %"),
            ],
        ),
        (
            "Items in a commit",
            "short",
            [
                (
                    f"sum(rate(viaduct_append_batch_items_sum[{INTERVAL}]))"
                    f" / sum(rate(viaduct_append_batch_items_count[{INTERVAL}]))",
                    "mean",
                )
            ],
        ),
        ("Followers behind", "s", [("max by (role) (viaduct_follower_lag_seconds)", "{{role}}")]),
        (
            "Positions behind",
            "short",
            [("max by (role) (viaduct_follower_head - viaduct_follower_position)", "{{role}}")],
        ),
        (
            "Repairs and restarts",
            "short",
            [
                (rate("viaduct_follower_repairs_total", "role"), "{{role}} repairs, a second"),
                (rate("viaduct_follower_restarts_total", "role"), "{{role}} restarts, a second"),
            ],
        ),
    ],
    "Database": [
        ("Statements", "ops", [(rate("viaduct_database_statement_seconds_count", "role"), "{{role}}")]),
        (
            "Time of a statement",
            "s",
            [
                (quantile(0.5, "viaduct_database_statement_seconds", "role"), "{{role}} median"),
                (quantile(0.99, "viaduct_database_statement_seconds", "role"), "{{role}} 99 %"),
            ],
        ),
        ("Statements under way", "short", [(rate("viaduct_database_statement_seconds_sum", "role"), "{{role}}")]),
    ],
    "Application services": [
        ("Lag", "s", [(f"max by (queue) (viaduct_queue_oldest_seconds{{{SERVICE_QUEUES}}})", "{{queue}}")]),
        ("Events that wait", "short", [(f"max by (queue) (viaduct_queue_length{{{SERVICE_QUEUES}}})", "{{queue}}")]),
    ],
    "Federation": [
        (
            "Requests of other servers",
            "reqps",
            [(rate(f"{REQUESTS}_count", "endpoint", 'endpoint=~"/_matrix/(federation|key)/.*"'), "{{endpoint}}")],
        ),
        (
            "Sent",
            "short",
            [
                (rate("viaduct_federation_sent_total", "kind"), "{{kind}}, a second"),
                (rate("viaduct_federation_failed_transactions_total", "job"), "failed transactions, a second"),
            ],
        ),
        ("Fetched for rooms", "short", [(rate("viaduct_federation_fetches_total", "what"), "{{what}}, a second")]),
        (
            "Users elsewhere whose keys were wanted",
            "short",
            [(rate("viaduct_remote_device_lists_total", "how"), "{{how}}, a second")],
        ),
        (
            "Requests to the outside",
            "reqps",
            [(rate("viaduct_egress_seconds_count", "purpose, outcome"), "{{purpose}} {{outcome}}")],
        ),
        (
            "Time until the outside answers, 95 %",
            "s",
            [(quantile(0.95, "viaduct_egress_seconds", "purpose"), "{{purpose}}")],
        ),
    ],
    "Media": [
        (
            "Bytes",
            "Bps",
            [
                (rate("viaduct_media_stored_bytes_total", "job"), "uploaded"),
                (rate("viaduct_media_sent_bytes_total", "job"), "sent"),
                (rate("viaduct_media_fetched_bytes_total", "job"), "fetched from other servers"),
            ],
        ),
        (
            "Found here already",
            "percentunit",
            [
                (
                    f'sum(rate({metric}{{outcome="found"}}[{INTERVAL}])) / sum(rate({metric}[{INTERVAL}]))',
                    name,
                )
                for metric, name in (
                    ("viaduct_media_thumbnails_total", "thumbnails"),
                    ("viaduct_media_remote_total", "media of other servers"),
                    ("viaduct_media_previews_total", "previews"),
                )
            ],
        ),
        (
            "Storage",
            "short",
            [
                (rate("viaduct_media_storage_errors_total", "job"), "errors, a second"),
                (rate("viaduct_media_redirected_total", "job"), "redirects to it, a second"),
                (rate("viaduct_media_swept_total", "what"), "swept {{what}}, a second"),
            ],
        ),
        (
            "Time to make a thumbnail",
            "s",
            [
                (quantile(0.5, "viaduct_media_thumbnail_seconds"), "median"),
                (quantile(0.95, "viaduct_media_thumbnail_seconds"), "95 %"),
            ],
        ),
        (
            "Time of the object store, 95 %",
            "s",
            [(quantile(0.95, "viaduct_media_store_seconds", "operation"), "{{operation}}")],
        ),
        ("Thumbnails", "short", [(rate("viaduct_media_thumbnails_total", "outcome"), "{{outcome}}, a second")]),
        ("Media of other servers", "short", [(rate("viaduct_media_remote_total", "outcome"), "{{outcome}}, a second")]),
        ("Previews of URLs", "short", [(rate("viaduct_media_previews_total", "outcome"), "{{outcome}}, a second")]),
        (
            "Queues",
            "short",
            [
                (
                    'sum by (queue) (viaduct_queue_length{role="media"})',
                    "{{queue}}",
                )
            ],
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """As Grafana's file provider reads it."""
    panels: list[dict[str, Any]] = []
    line = 0
    for name, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "id": len(panels) + 1,
                "title": name,
                "collapsed": False,
                "gridPos": {"x": 0, "y": line, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        line += 1
        for number, panel in enumerate(row):
            x = number % PANELS_A_LINE * (COLUMNS // PANELS_A_LINE)
            panels.append(_panel(panel, len(panels) + 1, x, line + number // PANELS_A_LINE * HEIGHT))
        line += -(-len(row) // PANELS_A_LINE) * HEIGHT
    return {
        "uid": "viaduct",
        "title": "Viaduct",
        "tags": ["matrix"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    title, unit, queries = panel
    return {
        "type": "timeseries",
        "id": number,
        "title": title,
        "datasource": PROMETHEUS,
        "gridPos": {"x": x, "y": y, "w": COLUMNS // PANELS_A_LINE, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(65 + place), "datasource": PROMETHEUS, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(queries)
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
    sys.exit(0)
