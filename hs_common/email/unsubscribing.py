"""The link in a notification by email that ends these, for people who are not logged in where they read their mail.

The link holds a proof that we made it, good for that one address of that user, for ever: nobody can make another's.
"""

from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from typing import Final
from urllib.parse import urlencode

PATH: Final = "/_viaduct/client/v1/unsubscribe"


class Unsubscribing:
    """`secret` is the cluster's, `base_url` where clients reach this server."""

    def __init__(self, secret: str, base_url: str) -> None:
        self._secret = secret.encode()
        self._base_url = base_url.rstrip("/")

    def link(self, user_id: str, address: str) -> str:
        """Where to end notifications of that user to that address."""
        query = urlencode({"user": user_id, "address": address, "proof": self._proof(user_id, address)})
        return f"{self._base_url}{PATH}?{query}"

    def is_ours(self, user_id: str, address: str, proof: str) -> bool:
        """Whether a link with these parts was made here."""
        return bool(self._secret) and compare_digest(self._proof(user_id, address).encode(), proof.encode())

    def _proof(self, user_id: str, address: str) -> str:
        text = "\0".join(("unsubscribe", user_id, address))
        return hmac(self._secret, text.encode(), sha256).hexdigest()
