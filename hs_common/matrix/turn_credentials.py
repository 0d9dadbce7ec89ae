"""Names and passwords for a TURN server that knows a shared secret: good for a while, made without asking it. Pure.

Spec: client-server API, #get_matrixclientv3voipturnserver; the scheme is that of
https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00 (coturn: `use-auth-secret`).
"""

from base64 import b64encode
from hashlib import sha1
from hmac import new as hmac


def turn_credentials(secret: str, user_id: str, good_until_s: int) -> tuple[str, str]:
    """(username, password) for a user. The name tells the TURN server's log whose it is."""
    username = f"{good_until_s}:{user_id}"
    return username, b64encode(hmac(secret.encode(), username.encode(), sha1).digest()).decode()
