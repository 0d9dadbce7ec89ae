"""Profiles of users of other servers.

Spec: server-server API, #get_matrixfederationv1queryprofile.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_common.matrix.errors import not_found
from hs_common.matrix.identifiers import domain_of, is_short
from hs_workers.client.remote.asking import Asking
from hs_workers.client.remote.kept_answers import KeptAnswers

KEPT_S: Final = 60.0
MAXIMUM_FIELDS: Final = 100
_TEXTS: Final = ("displayname", "avatar_url")


class RemoteProfiles:
    """Asks the user's server for the whole profile. `seconds` is a clock that never goes back."""

    def __init__(self, asking: Asking, seconds: Callable[[], float]) -> None:
        self._asking = asking
        self._kept: KeptAnswers[dict[str, Any]] = KeptAnswers(seconds, KEPT_S)

    async def profile(self, user_id: str) -> dict[str, Any]:
        """All fields. 404 `M_NOT_FOUND`, or the server's own refusal; 502 if it cannot be asked."""
        return await self._kept.get(user_id, lambda: self._ask(user_id))

    async def field(self, user_id: str, field: str) -> dict[str, Any]:
        """One field. 404 `M_NOT_FOUND` also if the profile does not have it."""
        fields = await self.profile(user_id)
        if field not in fields:
            raise not_found("The profile has no such field")
        return {field: fields[field]}

    async def _ask(self, user_id: str) -> dict[str, Any]:
        path = "/_matrix/federation/v1/query/profile"
        answer = await self._asking.get(domain_of(user_id), path, {"user_id": user_id})
        fields = [(key, value) for key, value in answer.items() if value is not None and is_short(key)]
        return {key: value for key, value in fields[:MAXIMUM_FIELDS] if key not in _TEXTS or isinstance(value, str)}
