"""Puts the endpoints together by which administrators and the operator look after accounts."""

from hs_workers.client.account_parts import AccountParts
from hs_workers.client.accounts.administration import UserAdministration
from hs_workers.client.authentication_service import AuthenticationService
from hs_workers.client.login_as_user import LoginAsUser
from hs_workers.client.operator_users import OperatorUsers
from hs_workers.client.registration_token_administration import RegistrationTokenAdministration
from hs_workers.client.user_administration import UserAdministrationEndpoints

ENDPOINT_CLASSES: tuple[type, ...] = (
    AuthenticationService,
    LoginAsUser,
    OperatorUsers,
    RegistrationTokenAdministration,
    UserAdministrationEndpoints,
)


def administration_endpoints(parts: AccountParts) -> list[object]:
    """One instance of each class."""
    outside, config = parts.outside, parts.config
    users = UserAdministration(
        outside.db,
        outside.master,
        config.server.name,
        parts.passwords,
        parts.rules,
        parts.hasher,
        parts.registering,
        parts.threepids,
    )
    return [
        AuthenticationService(
            outside.db,
            outside.master,
            users,
            parts.usernames,
            config.oauth.secret if parts.has_oauth else "",
            outside.now_ms,
            has_own_sessions=config.oauth.legacy_api,
        ),
        LoginAsUser(users, outside.master, parts.tokens, outside.now_ms),
        OperatorUsers(outside.db, users, config.registration.shared_secret, outside.now_ms),
        RegistrationTokenAdministration(outside.db, outside.now_ms, outside.random),
        UserAdministrationEndpoints(outside.db, users, parts.usernames, outside.now_ms),
    ]
