"""Requests as they should not be: an endpoint's path filled with anything, raw bodies, any header."""

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hs_common.http.endpoint import EndpointDeclaration, declarations_of
from hs_workers.registry import endpoint_classes

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_page(self) -> bool:
        """Whether it is for a person to read."""
        return self.headers.get("content-type", "").startswith("text/html")

    @property
    def errcode(self) -> str | None:
        return self.json.get("errcode") if self.body and not self.is_page else None


def declarations() -> list[EndpointDeclaration]:
    """Every endpoint of every role."""
    classes = [cls for group in endpoint_classes().values() for cls in group]
    return [declaration for cls in classes for _, declaration in declarations_of(cls)]


def path_of(template: str, values: Mapping[str, str], other: str = "x") -> str:
    """The template's path with the parameters' values, quoted; `other` stands for those without one."""
    return _PARAMETER.sub(lambda found: quote(values.get(found.group(1), other), safe=""), template)


_connections: dict[int, http.client.HTTPConnection] = {}


def ask(
    port: int,
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request, on the connection of the one before it unless the server has closed that."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    connection = _connections.setdefault(port, http.client.HTTPConnection("127.0.0.1", port, timeout=40))
    connection.request(method, target, body=body, headers=sent)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    answer = Answer(response.status, found, response.read())
    if found.get("connection", "").lower() == "close":
        connection.close()  # it opens again by itself
    return answer


def hang_up(port: int) -> None:
    """End the connection: the server there does."""
    connection = _connections.pop(port, None)
    if connection is not None:
        connection.close()
