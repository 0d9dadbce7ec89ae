"""What endpoints of accounts share, made once from the config and from what the process has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.config import Config
from hs_common.config.sso import OidcProvider
from hs_common.email.mailer import Mailer
from hs_common.http.consent import ConsentGate
from hs_common.http.egress.client import EgressClient
from hs_common.http.oauth_service import OAuthService
from hs_common.process.password_hasher import PasswordHasher
from hs_common.process.worker_threads import Threads
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.client import uia_stages
from hs_workers.client.accounts.address_validation import AddressValidation, MailLimits
from hs_workers.client.accounts.identity_servers import IdentityServers
from hs_workers.client.accounts.logging_in import LoggingIn, LoginTokens
from hs_workers.client.accounts.passwords import FailureLimits, PasswordRules, Passwords
from hs_workers.client.accounts.registering import Registering, Usernames
from hs_workers.client.accounts.threepids import Threepids
from hs_workers.client.accounts.tokens import Tokens
from hs_workers.client.accounts.user_identifiers import UserIdentifiers
from hs_workers.client.arrivals import Arrivals
from hs_workers.client.ownership import Ownership
from hs_workers.client.pages.pages import Pages
from hs_workers.client.presence import PresenceView
from hs_workers.client.remote.profiles import RemoteProfiles
from hs_workers.client.sso.people import People
from hs_workers.client.sso.signing_on import SigningOn
from hs_workers.client.sso_pages import CALLBACK_PATH, SsoCookie
from hs_workers.client.uia import UserInteractiveAuthentication
from hs_workers.client.uia_captcha import CaptchaStage
from hs_workers.client.uia_email import EmailStage
from hs_workers.client.uia_oauth import OAuthStage
from hs_workers.client.uia_sso import SsoStage
from hs_workers.client.wellknown import client_well_known

if TYPE_CHECKING:
    from hs_workers.client.sso.oidc import OidcClient


class AccountLimits(FailureLimits, MailLimits, Protocol):
    """What is counted per account and per mail address."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day; `random(n)` gives n unpredictable bytes."""

    db: Queries
    master: Link
    threads: Threads
    failures: AccountLimits
    presence: PresenceView
    now_ms: Callable[[], int]
    random: Callable[[int], bytes]
    services: ServiceRegistry | None = None
    queries: ServiceQueries | None = None
    unstable_features: Mapping[str, bool] | None = None
    mailer: Mailer | None = None
    identity_servers: IdentityServers | None = None
    oauth: OAuthService | None = None
    trusted: EgressClient | None = None
    """Asks what the operator has named in the config, in private networks too."""
    profiles: RemoteProfiles | None = None
    """Asks for profiles of other servers' users."""


class AccountParts:
    """The parts, by name."""

    def __init__(self, config: Config, outside: Outside) -> None:
        db, master, now_ms, random = outside.db, outside.master, outside.now_ms, outside.random
        name, cost = config.server.name, config.accounts.password_hash
        self.config = config
        self.outside = outside
        self.hasher = PasswordHasher(cost.time_cost, cost.memory_kib, outside.threads, random)
        self.passwords = Passwords(db, master, self.hasher, outside.failures)
        self.rules = PasswordRules(config.accounts.minimum_password_length, config.accounts.password_needs)
        self.tokens = Tokens(config.accounts, now_ms, random)
        self.login_tokens = LoginTokens(db, self.tokens, config.accounts.login_token_lifetime_ms, now_ms)
        well_known = client_well_known(config.server)
        self.logging_in = LoggingIn(master, self.passwords, self.login_tokens, self.tokens, well_known)
        self.services = outside.services or ServiceRegistry(db, name, lambda: False)
        self.usernames = Usernames(db, name, self.services)
        self.registering = Registering(master, self.usernames, self.tokens)
        self.arrivals = Arrivals(db, now_ms)
        self.identifiers = UserIdentifiers(db, name)
        self.pages = Pages(config.email.application_name, name, random)
        self.validation = AddressValidation(
            db, outside.mailer, config.email, config.server.public_baseurl, outside.failures, now_ms, random
        )
        self.threepids = Threepids(db, self.validation, outside.identity_servers, now_ms)
        self.signing_on = self._signing_on()
        self.sso_cookie = SsoCookie(config.server.public_baseurl.startswith("https:"))
        self.consent = ConsentGate(config.terms, config.cluster.secret, config.server.public_baseurl)
        self.policies = uia_stages.policies_of(config.terms)
        self.uia = self._uia()

    @property
    def can_change_threepids(self) -> bool:
        """The capability `m.3pid_changes`."""
        return self.config.accounts.threepid_changes and self.validation.is_possible and not self.is_delegated

    @property
    def has_oauth(self) -> bool:
        """Whether there is an authentication service."""
        return bool(self.config.oauth.issuer)

    @property
    def is_delegated(self) -> bool:
        """Whether accounts are left to it alone. (spec) A server may support the legacy API too."""
        return self.has_oauth and not self.config.oauth.legacy_api

    @property
    def can_register(self) -> bool:
        """Whether clients may make accounts here."""
        return self.config.registration.enabled and not self.is_delegated

    @property
    def has_passwords(self) -> bool:
        """Whether users may log in by password here, and change it."""
        return self.config.accounts.password_login and not self.is_delegated

    def _signing_on(self) -> SigningOn:
        config, outside, egress = self.config, self.outside, self.outside.trusted
        callback_url = config.server.public_baseurl.rstrip("/") + CALLBACK_PATH
        providers = (
            {one.id: _oidc_client(one, callback_url, egress, outside.now_ms) for one in config.sso.providers}
            if egress is not None and not self.is_delegated  # else nobody could log in by what they say
            else {}
        )
        people = People(outside.db, outside.master, self.usernames, self.registering)
        return SigningOn(outside.db, providers, people, self.login_tokens, outside.now_ms, outside.random)

    def _uia(self) -> UserInteractiveAuthentication:
        config, outside = self.config, self.outside
        stages: dict[str, uia_stages.Stage] = {
            uia_stages.DUMMY: uia_stages.DummyStage(),
            uia_stages.PASSWORD: uia_stages.PasswordStage(self.passwords, self.identifiers),
            uia_stages.EMAIL: EmailStage(outside.db, self.validation),
            uia_stages.REGISTRATION_TOKEN: uia_stages.RegistrationTokenStage(outside.db, outside.now_ms),
            uia_stages.TERMS: uia_stages.TermsStage(self.policies),
            uia_stages.SSO: SsoStage(),
        }
        if self.has_oauth:
            service, issuer = outside.oauth, config.oauth.issuer
            confirming = OAuthStage(
                outside.db, lambda: issuer if service is None else service.known_management_url, outside.now_ms
            )
            stages |= {uia_stages.OAUTH: confirming, uia_stages.OAUTH_UNSTABLE: confirming}
        if config.captcha.public_key and outside.trusted is not None:
            stages[uia_stages.RECAPTCHA] = CaptchaStage(outside.trusted, config.captcha)
        lifetime_ms = config.accounts.interactive_auth_lifetime_ms
        ownership = Ownership(outside.db, self.signing_on.providers, self.is_delegated)
        return UserInteractiveAuthentication(
            outside.db, stages, ownership.flows, lifetime_ms, outside.now_ms, outside.random
        )


def _oidc_client(
    settings: OidcProvider, callback_url: str, egress: EgressClient, now_ms: Callable[[], int]
) -> "OidcClient":
    from hs_workers.client.sso import oidc  # what it needs is large, and is loaded where there are providers

    return oidc.OidcClient(settings, callback_url, egress, now_ms)
