"""The reverse proxy's routes, from the declarations of the endpoints: which role serves which method and path.

The role with the most endpoints is the default, so that the others' few routes are all that a proxy must know; a route
that is missing in the proxy is forwarded by the worker that gets it. Pure: declarations in, text out.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_PARAMETER = re.compile(r"\{[^}]*\}")
_PREFIX = "/_matrix/"
DEFAULT_PORT = 8008


@dataclass(frozen=True, slots=True, order=True)
class ProxyRoute:
    """One method and path template, such as GET /_matrix/client/v3/rooms/{roomId}/messages, and its role."""

    role: str
    path: str
    method: str

    @property
    def pattern(self) -> str:
        """A regular expression for the raw path, in the subset that all proxies understand."""
        parts = [re.escape(part).replace(r"\-", "-") for part in _PARAMETER.split(self.path)]
        return "^" + "[^/]+".join(parts) + "/?$"


def default_role(routes: Iterable[ProxyRoute]) -> str:
    """The role with the most endpoints."""
    return Counter(route.role for route in sorted(routes)).most_common(1)[0][0]


def render(routes: Iterable[ProxyRoute], format_name: str) -> str:
    """The routes for one of FORMATS."""
    return FORMATS[format_name](sorted(set(routes)))


def _by_role(routes: list[ProxyRoute]) -> tuple[str, dict[str, list[ProxyRoute]]]:
    """The default role, and the routes of the other roles."""
    default = default_role(routes)
    others: dict[str, list[ProxyRoute]] = {}
    for route in routes:
        if route.role != default:
            others.setdefault(route.role, []).append(route)
    return default, others


def _merged(routes: list[ProxyRoute]) -> dict[str, list[str]]:
    """Pattern to its methods, in order."""
    merged: dict[str, list[str]] = {}
    for route in routes:
        merged.setdefault(route.pattern, []).append(route.method)
    return merged


def _json(routes: list[ProxyRoute]) -> str:
    rows = [{"role": r.role, "method": r.method, "path": r.path, "pattern": r.pattern} for r in routes]
    return json.dumps({"default_role": default_role(routes), "routes": rows}, indent=1) + "\n"


def _nginx(routes: list[ProxyRoute]) -> str:
    default, others = _by_role(routes)
    lines = ["# In the http block. Each upstream names a role; `resolver` makes added workers known."]
    lines += [
        f"upstream viaduct_{role} {{ server {role}:{DEFAULT_PORT}; keepalive 32; }}" for role in [default, *others]
    ]
    lines += ["map $request_method:$uri $viaduct_role {", f"    default viaduct_{default};"]
    for role, own in others.items():
        for pattern, methods in _merged(own).items():
            lines.append(f'    "~^({"|".join([*methods, "OPTIONS"])}):{pattern[1:]}" viaduct_{role};')
    lines += [
        "}",
        "# In the server block.",
        f"location {_PREFIX} {{",
        "    proxy_pass http://$viaduct_role;",
        "    proxy_http_version 1.1;",
        '    proxy_set_header Connection "";',
        "    proxy_set_header Host $host;",
        "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "    proxy_read_timeout 180s;  # longer than a long poll",
        "    client_max_body_size 100m;",
        "    proxy_next_upstream error timeout http_503 non_idempotent;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _haproxy(routes: list[ProxyRoute]) -> str:
    """A map file: `METHOD:path` to backend. The two lines of haproxy.cfg that use it are in its head."""
    default, others = _by_role(routes)
    lines = [
        "# In the frontend:",
        "#     http-request set-var(txn.path) path",
        "#     http-request set-var(txn.route) method,concat(:,txn.path)",
        f"#     use_backend %[var(txn.route),map_reg(routes.map,viaduct_{default})]",
    ]
    for role, own in others.items():
        for pattern, methods in _merged(own).items():
            lines.append(f"^({'|'.join([*methods, 'OPTIONS'])}):{pattern[1:]} viaduct_{role}")
    return "\n".join(lines) + "\n"


def _caddy(routes: list[ProxyRoute]) -> str:
    default, others = _by_role(routes)
    lines = ["# In the site block."]
    for role, own in others.items():
        for number, (pattern, methods) in enumerate(_merged(own).items(), 1):
            lines += [
                f"@{role}_{number} {{",
                f"    method {' '.join([*methods, 'OPTIONS'])}",
                f"    path_regexp {pattern}",
                "}",
            ]
            lines.append(f"reverse_proxy @{role}_{number} {_caddy_upstream(role)}")
    lines.append(f"reverse_proxy {_PREFIX}* {_caddy_upstream(default)}")
    return "\n".join(lines) + "\n"


def _caddy_upstream(role: str) -> str:
    return f"{{\n    dynamic a {role} {DEFAULT_PORT}\n}}"


def _traefik(routes: list[ProxyRoute]) -> str:
    """A dynamic configuration file. JSON is YAML, so no quoting can go wrong."""
    default, others = _by_role(routes)
    routers = {
        f"viaduct-{default}": {"rule": f"PathPrefix(`{_PREFIX}`)", "priority": 1, "service": f"viaduct-{default}"}
    }
    for role, own in others.items():
        rules = [
            f"(PathRegexp(`{pattern}`) && ({' || '.join(f'Method(`{method}`)' for method in [*methods, 'OPTIONS'])}))"
            for pattern, methods in _merged(own).items()
        ]
        routers[f"viaduct-{role}"] = {"rule": " || ".join(rules), "priority": 2, "service": f"viaduct-{role}"}
    services = {
        f"viaduct-{role}": {"loadBalancer": {"servers": [{"url": f"http://{role}:{DEFAULT_PORT}"}]}}
        for role in [default, *others]
    }
    return json.dumps({"http": {"routers": routers, "services": services}}, indent=1) + "\n"


FORMATS: Mapping[str, Callable[[list[ProxyRoute]], str]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "traefik": _traefik,
    "json": _json,
}
