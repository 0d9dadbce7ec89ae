"""Puts the endpoints together by which one gets an account and a session, keeps them safe, and ends them."""

from typing import Any

from msgspec.structs import replace

from hs_common.config import Config
from hs_workers.client import uia_stages
from hs_workers.client.account_deactivation import AccountDeactivation
from hs_workers.client.account_parts import AccountParts
from hs_workers.client.accounts.guests import Guests
from hs_workers.client.accounts.shared_secret import SharedSecret
from hs_workers.client.administrative_contact import AdministrativeContact
from hs_workers.client.auth_fallback import AuthFallback, StagePage
from hs_workers.client.confirm_address import ConfirmAddress
from hs_workers.client.consent import Consent
from hs_workers.client.login import Login, login_flows
from hs_workers.client.login_token import LoginToken
from hs_workers.client.logout import Logout
from hs_workers.client.oauth_server_metadata import OAuthServerMetadata
from hs_workers.client.password_management import PasswordManagement
from hs_workers.client.refresh import Refresh
from hs_workers.client.registration import Registration
from hs_workers.client.registration_tokens import RegistrationTokens
from hs_workers.client.shared_secret_registration import SharedSecretRegistration
from hs_workers.client.sso_login_redirect import SsoLoginRedirect
from hs_workers.client.sso_pages import SsoPages
from hs_workers.client.stage_pages import stage_pages
from hs_workers.client.static_pages import LOGIN as LOGIN_PAGE
from hs_workers.client.static_pages import StaticPages
from hs_workers.client.uia import Flows
from hs_workers.client.uia_sso import SsoPage
from hs_workers.client.validation_tokens import ValidationTokens

ENDPOINT_CLASSES: tuple[type, ...] = (
    *(
        AccountDeactivation,
        AdministrativeContact,
        ConfirmAddress,
        Consent,
        Login,
        LoginToken,
        Logout,
        PasswordManagement,
    ),
    *(AuthFallback, Refresh, Registration, RegistrationTokens, SharedSecretRegistration, SsoLoginRedirect),
    *(SsoPages, OAuthServerMetadata, StaticPages, ValidationTokens),
)


def sign_in_endpoints(parts: AccountParts) -> list[object]:
    """One instance of each class."""
    config, outside = parts.config, parts.outside
    db, master, now_ms, name = outside.db, outside.master, outside.now_ms, config.server.name
    has_email = parts.validation.is_possible
    secret = SharedSecret(config.registration.shared_secret, now_ms, outside.random)
    return [
        AccountDeactivation(parts.uia, parts.threepids, master),
        AuthFallback(parts.pages, parts.uia, _stage_pages(parts)),
        AdministrativeContact(parts.threepids, parts.uia, config.accounts.threepid_changes),
        Consent(parts.consent, parts.policies, parts.pages, master),
        ConfirmAddress(parts.pages, parts.validation),
        Login(parts.logging_in, parts.arrivals, parts.services, parts.identifiers, _login_flows(parts)),
        LoginToken(parts.uia, parts.login_tokens),
        Logout(master),
        OAuthServerMetadata(outside.oauth),
        PasswordManagement(parts.uia, parts.rules, parts.passwords, master, has_email),
        Refresh(db, master, parts.tokens, now_ms),
        _registration(parts),
        RegistrationTokens(config.registration, db, now_ms),
        SharedSecretRegistration(
            name, secret, parts.usernames, parts.rules, parts.hasher, parts.registering, parts.arrivals
        ),
        SsoLoginRedirect(parts.signing_on, parts.pages, parts.sso_cookie),
        SsoPages(parts.signing_on, parts.uia, parts.pages, parts.sso_cookie, _trusted_clients(config)),
        StaticPages(parts.pages),
        ValidationTokens(parts.validation, parts.can_register, parts.can_change_threepids, not parts.is_delegated),
    ]


def _stage_pages(parts: AccountParts) -> dict[str, StagePage]:
    sso = SsoPage(parts.pages, parts.signing_on, parts.sso_cookie).stage_page()
    config, random = parts.config, parts.outside.random
    return {
        **stage_pages(parts.pages, parts.policies, config.captcha, parts.validation, random),
        uia_stages.SSO: sso,
    }


def _login_flows(parts: AccountParts) -> list[dict[str, Any]]:
    providers = [client.settings for client in parts.signing_on.providers.values()]
    return login_flows(parts.has_passwords, providers, is_delegated=parts.is_delegated, has_oauth=parts.has_oauth)


def _trusted_clients(config: Config) -> list[str]:
    """(spec) The own page for logging in needs no question."""
    own = config.server.public_baseurl.rstrip("/") + LOGIN_PAGE
    return [*config.sso.trusted_clients, own]


def _registration(parts: AccountParts) -> Registration:
    return Registration(
        replace(parts.config.registration, enabled=parts.can_register),
        registration_flows(parts.config, parts.validation.is_possible),
        parts.uia,
        parts.usernames,
        parts.rules,
        parts.hasher,
        parts.registering,
        parts.threepids,
        Guests(parts.outside.db),
        parts.arrivals,
        parts.services,
    )


def registration_flows(config: Config, has_email: bool) -> Flows:
    """What clients register by. Without anything to ask it is the dummy; a mail address is asked for where there can be
    one, and only where it has to be there is no flow without it.

    https://spec.matrix.org/v1.19/client-server-api/#dummy-auth
    """
    stages = (
        *([uia_stages.REGISTRATION_TOKEN] if config.registration.requires_token else []),
        *([uia_stages.RECAPTCHA] if config.captcha.public_key else []),
        *([uia_stages.TERMS] if config.terms.policies else []),
    )
    if not has_email:
        return (stages or (uia_stages.DUMMY,),)
    with_address = (*stages, uia_stages.EMAIL)
    return (with_address,) if config.registration.requires_email else ((*stages, uia_stages.DUMMY), with_address)
