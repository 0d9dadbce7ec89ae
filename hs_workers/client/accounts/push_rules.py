"""A user's push rules, which are kept as account data.

Spec: client-server API, #push-rules-api.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_common.matrix.push_rule_edits import RuleSet, as_content, merged
from hs_workers.client.accounts.account_data import GLOBAL, UserAccountData

PUSH_RULES: Final = "m.push_rules"


class UserPushRules:
    """Reads and edits rule sets."""

    def __init__(self, data: UserAccountData) -> None:
        self._data = data

    async def rule_set(self, user_id: str) -> RuleSet:
        """The user's rules and the predefined ones, by kind."""
        return merged(await self._data.content(user_id, GLOBAL, PUSH_RULES), user_id)

    async def content(self, user_id: str) -> dict[str, Any]:
        """The rules as account data, also for a user who never changed any."""
        return as_content(await self.rule_set(user_id))

    async def edit(self, user_id: str, change: Callable[[RuleSet], RuleSet]) -> None:
        """Replaces the rule set by what `change` makes of it; what that raises, this raises."""
        await self._data.edit(user_id, GLOBAL, PUSH_RULES, lambda content: as_content(change(merged(content, user_id))))
