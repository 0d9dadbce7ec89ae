"""The headers that let a web client on any other origin read our answers, errors included: without them a browser
reports a network error instead of an errcode.

https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients
"""

from typing import Final

CORS_HEADERS: Final[dict[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Date",
    # A browser would hide it from the client otherwise, which needs it to obey a 429.
    "Access-Control-Expose-Headers": "Retry-After",
}

PREFLIGHT_HEADERS: Final[dict[str, str]] = {
    **CORS_HEADERS,
    # Browsers ask before nearly every request of a Matrix client; a day spares half of all requests.
    "Access-Control-Max-Age": "86400",
}
