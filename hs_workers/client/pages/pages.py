"""HTML pages and the forms on them.

Rules: every value is escaped. A page may load nothing that it does not bring with it, unless named; is shown in no
frame; is kept in no cache; and tells nobody whence it links, since its own address may hold secrets.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from hs_common.http.reply import Response
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.process.page_templates import PageTemplates

NONCE_BYTES: Final = 16
FORM_LIMIT_BYTES: Final = 32 * 1024
"""Our forms have a handful of short fields; an answer to a captcha has some thousand characters."""
FIELDS_LIMIT: Final = 30

_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """`random(n)` gives n unpredictable bytes. Templates know the names of application and server."""

    def __init__(self, application_name: str, server_name: str, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._templates = PageTemplates("hs_workers.client.pages", application_name, server_name)

    def page(
        self,
        name: str,
        values: Mapping[str, object] | None = None,
        *,
        status: int = 200,
        sources: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The page of the template `<name>.html`. `sources` is added to its Content-Security-Policy."""
        nonce = b64encode(self._random(NONCE_BYTES)).decode()
        html = self._templates.render(f"{name}.html", {**(values or {}), "nonce": nonce})
        policy = f"default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'nonce-{nonce}'; "
        policy += sources.replace("{nonce}", nonce) or f"script-src 'nonce-{nonce}'; connect-src 'self'"
        sent = {**_HEADERS, "Content-Security-Policy": policy, **(headers or {})}
        return Response(status, html.encode(), sent)

    def problem(self, text: str, status: int = 400) -> Response:
        """A page that says what went wrong."""
        return self.page("problem", {"problem": text}, status=status)


def redirect(url: str, headers: Mapping[str, str] | None = None, *, status: int = 303) -> Response:
    """Sends the browser to a URL, by GET."""
    if not url.isprintable() or not url.isascii():
        raise invalid_param("The URL has characters that must be escaped")
    sent = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status, b"", {**sent, "Content-Type": "text/html; charset=utf-8", **(headers or {})})


def form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent. Of a field that is there twice, the first."""
    if len(request.raw) > FORM_LIMIT_BYTES:
        raise invalid_param("The form is too large")
    try:
        text = request.raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT)
    except (UnicodeDecodeError, ValueError) as error:
        raise invalid_param("The form cannot be read") from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value.replace("\0", ""))
    return fields


def cookies(request: Request) -> dict[str, str]:
    """The cookies that came."""
    found: dict[str, Any] = {}
    for part in "; ".join(request.headers.all("Cookie")).split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value)
    return found
