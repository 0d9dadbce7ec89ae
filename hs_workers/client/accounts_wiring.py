"""Puts the endpoints of accounts together. The only place that knows which of their parts needs which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.config import Config
from hs_common.process.password_hasher import PasswordHasher
from hs_common.process.worker_threads import Threads
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.client import uia_stages
from hs_workers.client.account_data import AccountData
from hs_workers.client.account_deactivation import AccountDeactivation
from hs_workers.client.accounts.account_data import UserAccountData
from hs_workers.client.accounts.logging_in import LoggingIn, LoginTokens
from hs_workers.client.accounts.passwords import FailureLimits, PasswordRules, Passwords
from hs_workers.client.accounts.push_rules import UserPushRules
from hs_workers.client.accounts.registering import Registering, Usernames
from hs_workers.client.accounts.shared_secret import SharedSecret
from hs_workers.client.accounts.tokens import Tokens
from hs_workers.client.admin import AccountModeration, Whois
from hs_workers.client.administrative_contact import AdministrativeContact, ValidationTokens
from hs_workers.client.arrivals import Arrivals
from hs_workers.client.capabilities import Capabilities
from hs_workers.client.device_management import DeviceManagement
from hs_workers.client.filter import Filters
from hs_workers.client.login import Login
from hs_workers.client.login_token import LoginToken
from hs_workers.client.logout import Logout
from hs_workers.client.openid import OpenId
from hs_workers.client.password_management import PasswordManagement
from hs_workers.client.presence import Presence, PresenceView
from hs_workers.client.profile import Profile
from hs_workers.client.pusher import Pushers
from hs_workers.client.pushrules import PushRules
from hs_workers.client.refresh import Refresh
from hs_workers.client.registration import Registration
from hs_workers.client.registration_tokens import RegistrationTokens
from hs_workers.client.shared_secret_registration import SharedSecretRegistration
from hs_workers.client.support import Support
from hs_workers.client.tags import Tags
from hs_workers.client.third_party_lookup import ThirdPartyLookup
from hs_workers.client.typing import Typing
from hs_workers.client.uia import Flows, UserInteractiveAuthentication
from hs_workers.client.versions import Versions
from hs_workers.client.wellknown import WellKnown, client_well_known
from hs_workers.client.whoami import WhoAmI

ENDPOINT_CLASSES: tuple[type, ...] = (
    *(AccountData, AccountDeactivation, AccountModeration, AdministrativeContact, Capabilities, DeviceManagement),
    *(
        Filters,
        Login,
        LoginToken,
        Logout,
        OpenId,
        PasswordManagement,
        Presence,
        Profile,
        PushRules,
        Pushers,
        Refresh,
        Registration,
    ),
    *(RegistrationTokens, SharedSecretRegistration, Support, Tags, ThirdPartyLookup, Typing, ValidationTokens),
    *(Versions, WellKnown, WhoAmI, Whois),
)
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day; `random(n)` gives n unpredictable bytes."""

    db: Queries
    master: Link
    threads: Threads
    failures: FailureLimits
    presence: PresenceView
    now_ms: Callable[[], int]
    random: Callable[[int], bytes]
    services: ServiceRegistry | None = None
    queries: ServiceQueries | None = None
    unstable_features: Mapping[str, bool] | None = None
    terms: Mapping[str, Any] | None = None


def interactive_auth(config: Config, outside: Outside) -> UserInteractiveAuthentication:
    """What guards operations of other groups of endpoints."""
    return _uia(config, outside, Passwords(outside.db, outside.master, _hasher(config, outside), outside.failures))


def account_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, master, now_ms, name = outside.db, outside.master, outside.now_ms, config.server.name
    hasher = _hasher(config, outside)
    passwords = Passwords(db, master, hasher, outside.failures)
    rules = PasswordRules(config.accounts.minimum_password_length)
    tokens = Tokens(config.accounts, now_ms, outside.random)
    login_tokens = LoginTokens(db, tokens, config.accounts.login_token_lifetime_ms, now_ms)
    logging_in = LoggingIn(master, passwords, login_tokens, tokens, client_well_known(config.server))
    services = outside.services or ServiceRegistry(db, name, lambda: False)
    usernames = Usernames(db, name, services)
    registering = Registering(master, usernames, tokens)
    arrivals = Arrivals(db, now_ms)
    uia = _uia(config, outside, passwords)
    data = UserAccountData(db, master)
    push_rules = UserPushRules(data)
    secret = SharedSecret(config.registration.shared_secret, now_ms, outside.random)
    flows = registration_flows(config, bool(outside.terms))
    return [
        AccountData(data, push_rules),
        AccountDeactivation(uia, master),
        AccountModeration(db, master, name),
        AdministrativeContact(),
        Capabilities(config.server.default_room_version),
        DeviceManagement(db, master, uia),
        Filters(db),
        Login(logging_in, arrivals, services, name),
        LoginToken(uia, login_tokens),
        Logout(master),
        OpenId(db, tokens, name, now_ms),
        PasswordManagement(uia, rules, passwords, master),
        Presence(config.presence.enabled, db, master, outside.presence, now_ms),
        Profile(db, master, name),
        PushRules(push_rules),
        Pushers(db, master, allows_http=config.push.allow_any_gateway),
        Refresh(db, master, tokens, now_ms),
        Registration(config.registration, flows, uia, usernames, rules, hasher, registering, arrivals, services),
        RegistrationTokens(config.registration, db, now_ms),
        SharedSecretRegistration(name, secret, usernames, rules, hasher, registering, arrivals),
        Support(config.server),
        Tags(data),
        ThirdPartyLookup(outside.queries),
        Typing(db, master),
        ValidationTokens(),
        Versions(outside.unstable_features or {}),
        WellKnown(config.server),
        WhoAmI(),
        Whois(db, name),
    ]


def registration_flows(config: Config, has_terms: bool) -> Flows:
    """The one flow that clients register by. Without anything to ask it is the dummy."""
    stages = [
        *([uia_stages.REGISTRATION_TOKEN] if config.registration.requires_token else []),
        *([uia_stages.TERMS] if has_terms else []),
    ]
    return (tuple(stages) or (uia_stages.DUMMY,),)


def _hasher(config: Config, outside: Outside) -> PasswordHasher:
    cost = config.accounts.password_hash
    return PasswordHasher(cost.time_cost, cost.memory_kib, outside.threads, outside.random)


def _uia(config: Config, outside: Outside, passwords: Passwords) -> UserInteractiveAuthentication:
    stages: dict[str, uia_stages.Stage] = {
        uia_stages.DUMMY: uia_stages.DummyStage(),
        uia_stages.PASSWORD: uia_stages.PasswordStage(passwords, config.server.name),
        uia_stages.REGISTRATION_TOKEN: uia_stages.RegistrationTokenStage(outside.db, outside.now_ms),
        uia_stages.TERMS: uia_stages.TermsStage(dict(outside.terms or {})),
    }
    lifetime_ms = config.accounts.interactive_auth_lifetime_ms
    return UserInteractiveAuthentication(outside.db, stages, lifetime_ms, outside.now_ms, outside.random)
