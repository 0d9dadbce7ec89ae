"""The way of a browser through single sign-on: to the provider, back, to an account, and on to the client.

Rules: a browser is known by its cookie, the provider's answer by its state, and both must be of one session, so that
nobody is signed on by a link that somebody else made. A session is used once, within ten minutes. Tokens are only kept
as digests.

Spec: client-server API, #sso-client-loginauthentication.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from twisted.logger import Logger

from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import invalid_param
from hs_common.storage import sso_sessions as stored
from hs_common.storage.queries import Queries
from hs_common.storage.sso_sessions import SsoSession
from hs_workers.client.accounts.account_states import check_usable
from hs_workers.client.accounts.logging_in import LoginTokens
from hs_workers.client.sso.failures import ProviderFailed
from hs_workers.client.sso.people import People, suggestions

if TYPE_CHECKING:  # it is large, and loaded where there are providers
    from hs_workers.client.sso.oidc import OidcClient

SESSION_LIFETIME_MS: Final = 10 * 60 * 1000
SWEEP_INTERVAL_MS: Final = 10 * 60 * 1000
RANDOM_BYTES: Final = 32
REDIRECT_URL_LIMIT: Final = 4_096
_CODE_IN_URL: Final = ("javascript", "data", "vbscript", "blob", "file", "about", "view-source", "filesystem")

_log = Logger()


class SignOnFailed(Exception):
    """It cannot go on; the text is for the person."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and the cookie that it takes along."""

    url: str
    cookie: str


class SigningOn:
    """`providers` by id. `random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(
        self,
        db: Queries,
        providers: "Mapping[str, OidcClient]",
        people: People,
        login_tokens: LoginTokens,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._db = db
        self.providers = providers
        self._people = people
        self._login_tokens = login_tokens
        self._now_ms = now_ms
        self._random = random
        self._swept_ms = 0

    async def begin(
        self,
        provider_id: str,
        *,
        redirect_url: str | None = None,
        uia_session_id: str | None = None,
        create: bool = False,
    ) -> Departure:
        """Sends the browser to the provider: for a client, or for an authentication that goes on. Raises
        SignOnFailed."""
        await self._sweep()
        cookie, state, nonce, verifier = (self._secret() for _ in range(4))
        try:
            url = await self.providers[provider_id].authorization_url(
                state, nonce, verifier, anew=uia_session_id is not None, create=create
            )
        except ProviderFailed as error:
            raise self._failed(provider_id, error) from error
        session = SsoSession(
            cookie_hash=hash_token(cookie),
            state_hash=hash_token(state),
            provider_id=provider_id,
            nonce=nonce,
            code_verifier=verifier,
            redirect_url=redirect_url,
            uia_session_id=uia_session_id,
            made_ms=self._now_ms(),
        )
        await stored.add_sso_session(self._db, session)
        return Departure(url, cookie)

    async def answered(self, cookie: str, state: str, code: str) -> SsoSession:
        """The browser is back with a code: the session, with whose account it is, if the person has one (or gets one
        without being asked). Raises SignOnFailed."""
        session = await stored.take_answer(self._db, hash_token(cookie), hash_token(state), self._oldest_ms())
        if session is None or session.provider_id not in self.providers:
            raise SignOnFailed("This sign-on has ended, or was begun in another browser. Begin again in your app.")
        provider = self.providers[session.provider_id]
        try:
            claims = await provider.claims(code, session.nonce, session.code_verifier)
        except ProviderFailed as error:
            raise self._failed(session.provider_id, error) from error
        names = suggestions(provider.settings, claims)
        found = await self._people.account_of(provider.settings, claims["sub"], names)
        session = replace(session, subject=claims["sub"], details=names)
        if found is not None:
            check_usable(found)
            session = replace(session, user_id=found.user_id)
        elif session.uia_session_id is not None or not provider.settings.allows_registration:
            raise SignOnFailed("There is no account here for who you are there.")
        elif not provider.settings.asks_for_name and await self._people.is_free(names["localpart"]):
            session = await self._with_account(session, names["localpart"], names["display_name"])
        await stored.note_subject(self._db, session)
        return session

    async def session(self, cookie: str) -> SsoSession | None:
        """The browser's session, once the provider has answered."""
        found = await stored.sso_session(self._db, hash_token(cookie), self._oldest_ms())
        if found is None or found.subject is None or found.provider_id not in self.providers:
            return None
        return found

    async def register(self, session: SsoSession, localpart: str, display_name: str) -> SsoSession:
        """Makes the account that the person wishes. Raises MatrixError, after which another name may be tried."""
        made = await self._with_account(session, localpart, display_name)
        await stored.note_subject(self._db, made)
        return made

    async def login_url(self, session: SsoSession) -> str:
        """The client's URL with a token that lets it in. Ends the session."""
        assert session.user_id is not None, "only an account can be let in"
        assert session.redirect_url is not None, "only a client gets a token"
        if not await stored.delete_sso_session(self._db, session.cookie_hash):
            raise SignOnFailed("This sign-on was used already.")
        token = (await self._login_tokens.new(session.user_id))["login_token"]
        return with_login_token(session.redirect_url, str(token))

    async def end(self, session: SsoSession) -> None:
        """The session has served."""
        await stored.delete_sso_session(self._db, session.cookie_hash)

    async def _with_account(self, session: SsoSession, localpart: str, display_name: str) -> SsoSession:
        settings = self.providers[session.provider_id].settings
        assert session.subject is not None, "the provider has answered"
        return replace(session, user_id=await self._people.make(settings, session.subject, localpart, display_name))

    def _failed(self, provider_id: str, error: ProviderFailed) -> SignOnFailed:
        _log.error("identity provider {provider}: {error}", provider=provider_id, error=error)
        return SignOnFailed("The identity provider cannot be used at the moment. Try again later.")

    def _secret(self) -> str:
        return urlsafe_b64encode(self._random(RANDOM_BYTES)).rstrip(b"=").decode()

    def _oldest_ms(self) -> int:
        return self._now_ms() - SESSION_LIFETIME_MS

    async def _sweep(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._swept_ms >= SWEEP_INTERVAL_MS:
            self._swept_ms = now_ms
            await stored.delete_old_sso_sessions(self._db, now_ms - SESSION_LIFETIME_MS)


def check_redirect_url(url: str) -> None:
    """A URL of a client, of any scheme that an app may have but those that run what is in the URL. 400
    `M_INVALID_PARAM`."""
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        scheme = ""
    is_good = scheme and scheme not in _CODE_IN_URL and len(url) <= REDIRECT_URL_LIMIT
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid_param("`redirectUrl` is no URL to which people may be sent from here")


def with_login_token(url: str, token: str) -> str:
    """The URL with the token as its one `loginToken`."""
    # By hand, since `urlunsplit` does not give back every URL of an app's own scheme.
    rest, hash_mark, fragment = url.partition("#")
    base, _, old = rest.partition("?")
    query = [(name, value) for name, value in parse_qsl(old, keep_blank_values=True) if name != "loginToken"]
    return f"{base}?{urlencode([*query, ('loginToken', token)])}{hash_mark}{fragment}"
