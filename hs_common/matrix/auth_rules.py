"""The authorisation rules as the rest of the code imports them; see the package `auth` for the rules themselves.

An event received is allowed if it has its signatures (`required_signatures`), lists its auth events rightly
(`check_auth_events`), and is allowed (`authorise`) in the state that its auth events make up and in the state before
it.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu.
"""

from hs_common.matrix.auth.auth_events import auth_state_keys, check_auth_events
from hs_common.matrix.auth.create_rules import is_user_id
from hs_common.matrix.auth.error import AuthError
from hs_common.matrix.auth.room_state import (
    CREATE_KEY,
    JOIN_RULES_KEY,
    POWER_LEVELS_KEY,
    AuthState,
    domain_of,
    state_of,
)
from hs_common.matrix.auth.rules import authorise
from hs_common.matrix.auth.signatures import required_signatures

__all__ = [
    "CREATE_KEY",
    "JOIN_RULES_KEY",
    "POWER_LEVELS_KEY",
    "AuthError",
    "AuthState",
    "auth_state_keys",
    "authorise",
    "check_auth_events",
    "domain_of",
    "is_user_id",
    "required_signatures",
    "state_of",
]
