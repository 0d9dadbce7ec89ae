"""A request as bytes. Pure.

What would make two requests of one (a line break in a header) is a mistake of ours and refused.
"""

from collections.abc import Iterable
from typing import Final

Headers = Iterable[tuple[str, str]]
_WITHOUT_BODY: Final = ("GET", "HEAD")


def encode_question(method: str, path: str, host: str, headers: Headers, body: bytes | None) -> bytes:
    """The whole request. `path` is percent-encoded. Raises ValueError for what cannot stand in a head."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None or method not in _WITHOUT_BODY:
        lines.append(f"Content-Length: {len(body or b'')}")
    if any("\r" in line or "\n" in line or "\0" in line for line in lines) or " " in path:
        raise ValueError("a line of a request contains a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
