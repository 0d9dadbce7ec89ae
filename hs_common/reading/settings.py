"""What a reader has set that decides what he is shown: whom he ignores, whether he takes invites, his push rules. Pure.

Spec: client-server API, #ignoring-users, #invite-permission, #push-rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.push_rule_edits import as_content, merged
from hs_common.matrix.push_rule_evaluation import CompiledRules, compile_rules

IGNORED_USERS: Final = "m.ignored_user_list"
INVITES: Final = "m.invite_permission_config"
PUSH_RULES: Final = "m.push_rules"
TYPES: Final = (IGNORED_USERS, INVITES, PUSH_RULES)


@dataclass(frozen=True, slots=True)
class Settings:
    """A reader's settings as they are now: they decide at once, whatever the position of the answer."""

    ignored: frozenset[str]
    blocks_invites: bool
    push_rules: CompiledRules

    def hides_invite(self, sender: str) -> bool:
        """Whether an invite by this user is kept from the reader."""
        return self.blocks_invites or sender in self.ignored


def read_settings(user_id: str, contents: Mapping[str, str | bytes]) -> Settings:
    """From the reader's account data by type. What is malformed counts as not set."""
    parsed = {data_type: orjson.loads(content) for data_type, content in contents.items()}
    ignored = parsed.get(IGNORED_USERS, {}).get("ignored_users")
    return Settings(
        # Nobody ignores himself: he would lose what his other devices send.
        ignored=frozenset(ignored) - {user_id} if isinstance(ignored, dict) else frozenset(),
        blocks_invites=parsed.get(INVITES, {}).get("default_action") == "block",
        push_rules=_compiled(user_id, parsed.get(PUSH_RULES)),
    )


# Of all who never changed a rule: most users, and ghosts. Predefined rules are told apart by bits, not by the user.
_DEFAULT_RULES: Final = compile_rules(merged(None, ""))


def _compiled(user_id: str, content: Mapping[str, Any] | None) -> CompiledRules:
    return _DEFAULT_RULES if content is None else compile_rules(merged(content, user_id))


def push_rules_content(user_id: str, stored: str | bytes | None) -> dict[str, Any]:
    """The account data `m.push_rules` as clients get it: with the predefined rules of today, also if none is stored."""
    return as_content(merged(None if stored is None else orjson.loads(stored), user_id))
