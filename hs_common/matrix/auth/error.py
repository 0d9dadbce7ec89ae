"""How the authorisation rules say no."""


class AuthError(Exception):
    """The event is not allowed. The text says which rule refused it, for logs and for the error sent to a client."""

    @property
    def reason(self) -> str:
        """Why the event is not allowed."""
        return str(self.args[0])


def require(condition: bool, reason: str) -> None:
    """Refuse the event unless `condition` holds."""
    if not condition:
        raise AuthError(reason)
