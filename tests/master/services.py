"""Application services for tests: registrations as bridges write them, and a call that registers one."""

from typing import Any

from hs_common.matrix.appservice import encode_registration, parse_registration
from hs_common.replication.calls import SetAppService


def registration(name: str = "irc", **changes: Any) -> dict[str, Any]:
    """As a bridge writes it: ghosts `@irc_…`, aliases `#irc_…`, its own user `@ircbot`."""
    return {
        "id": name,
        "url": "http://127.0.0.1:1",
        "as_token": f"as_{name}",
        "hs_token": f"hs_{name}",
        "sender_localpart": f"{name}bot",
        "namespaces": {
            "users": [{"regex": f"@{name}_.*", "exclusive": True}],
            "aliases": [{"regex": f"#{name}_.*", "exclusive": True}],
            "rooms": [],
        },
        **changes,
    }


def set_service(name: str = "irc", **changes: Any) -> SetAppService:
    """The call that registers it."""
    parsed, tokens = parse_registration(registration(name, **changes))
    return SetAppService(
        registration=encode_registration(parsed),
        as_token_hash=tokens.as_token_hash,
        hs_token=tokens.hs_token,
        source="command",
    )
