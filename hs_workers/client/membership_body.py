"""The body that inviting, kicking, banning and unbanning have in common."""

import msgspec


class MembershipBody(msgspec.Struct):
    """Whose membership to change, and why."""

    user_id: str
    reason: str | None = None


class ReasonBody(msgspec.Struct):
    """Why."""

    reason: str | None = None
