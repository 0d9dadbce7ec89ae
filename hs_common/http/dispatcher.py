"""The stations of every request, in their order: find the endpoint, know who calls, admit, limit, let reads wait for
what was written before them, call the endpoint, turn whatever comes out into a response.

The order is also the order of errors: an unknown path before a missing token, that before a full bucket, and all of
them before anything in the body. Nothing of the connection is known here.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from hs_common.http.admission import admit
from hs_common.http.authentication import Authenticator
from hs_common.http.consent import ConsentGate
from hs_common.http.credentials import access_token, access_token_hash
from hs_common.http.endpoint import Auth, EndpointDeclaration
from hs_common.http.faults import response_for
from hs_common.http.incoming import Incoming
from hs_common.http.last_seen import LastSeen
from hs_common.http.oauth_tokens import OAuthTokens
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reply import Response, Streamed, to_response
from hs_common.http.request import Query, Request, Requester, RequestHeaders
from hs_common.http.router import EndpointMethod
from hs_common.http.server_calls import ServerAuthenticator
from hs_common.http.turns import Turns
from hs_common.matrix.errors import MatrixError, missing_token
from hs_common.process.request_id import CURRENT_ORIGIN, CURRENT_REQUEST_ID, CURRENT_WAIT_S

ReadBarrier = Callable[[], Awaitable[bool]]
"""Returns True when this process has seen all that was committed before the call, False when that took too long; None
waits for nothing."""


class Dispatcher:
    """Answers requests. `barrier` is awaited before endpoints that read from what a follower holds."""

    def __init__(
        self,
        authenticator: Authenticator,
        limits: RateLimits,
        barrier: ReadBarrier | None = None,
        last_seen: LastSeen | None = None,
        servers: ServerAuthenticator | None = None,
        oauth: OAuthTokens | None = None,
        consent: ConsentGate | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._barrier = barrier
        self._last_seen = last_seen
        self._servers = servers
        self._oauth = oauth
        self._consent = consent
        self._turns = turns
        self._log = Logger()

    async def answer(
        self, incoming: Incoming, declaration: EndpointDeclaration, path: dict[str, str], call: EndpointMethod
    ) -> Response | Streamed:
        """The response of one endpoint. Raises nothing but CancelledError."""
        CURRENT_REQUEST_ID.set(incoming.request_id)
        try:
            if declaration.auth is Auth.SERVER:
                return await self._answer_server(incoming, declaration, path, call)
            requester = await self._requester(incoming, declaration)
            self._limits.check(declaration.rate, requester, incoming.client_ip)
            if requester is None or self._turns is None or declaration.waits:
                return await self._answer_known(incoming, declaration, path, call, requester)
            with self._turns.taking(requester.app_service_id or requester.user_id) as turn:
                if turn is not None:
                    began_s = self._turns.seconds()
                    await turn
                    CURRENT_WAIT_S.set(self._turns.seconds() - began_s)
                return await self._answer_known(incoming, declaration, path, call, requester)
        except CancelledError:
            raise
        except Exception as error:
            return response_for(error, incoming.request_id, self._log)

    async def _answer_known(
        self,
        incoming: Incoming,
        declaration: EndpointDeclaration,
        path: dict[str, str],
        call: EndpointMethod,
        requester: Requester | None,
    ) -> Response | Streamed:
        if requester is not None:
            CURRENT_ORIGIN.set(requester.app_service_id or requester.user_id)
            user_agent = incoming.headers.getRawHeaders(b"user-agent", [b""])[0].decode("utf-8", "replace")
            self.note_seen(requester, incoming.client_ip, user_agent)
        if declaration.reads and self._barrier is not None:
            requester = await self._still(incoming, declaration, has_seen_all=await self._barrier())
        return to_response(await call(_request(incoming, declaration, path, requester=requester)))

    async def _still(
        self, incoming: Incoming, declaration: EndpointDeclaration, *, has_seen_all: bool
    ) -> Requester | None:
        """Who calls, by what was committed before the request came: the token may be among what was revoked."""
        if not has_seen_all:
            self._forget(access_token_hash(incoming.headers, incoming.query_string))
        return await self._requester(incoming, declaration)

    def _forget(self, token_hash: bytes | None) -> None:
        if token_hash is not None:
            self._authenticator.forget_token(token_hash)
            if self._oauth is not None:
                self._oauth.forget_token(token_hash)

    async def _answer_server(
        self, incoming: Incoming, declaration: EndpointDeclaration, path: dict[str, str], call: EndpointMethod
    ) -> Response | Streamed:
        assert self._servers is not None, "a process that serves other servers knows how to tell who they are"
        address = incoming.client_ip
        self._limits.check_unknown_tokens(address)
        try:
            caller = await self._servers.caller(incoming)
        except MatrixError as error:
            if error.status == 401:
                self._limits.token_unknown(address)
            raise
        self._limits.check_server(declaration.rate, caller.origin)
        if declaration.reads and self._barrier is not None:
            await self._barrier()
        return to_response(await call(_request(incoming, declaration, path, origin=caller.origin, json=caller.json)))

    def admit_server(self, origin: str) -> None:
        """Whoever says to be another server, before its body is read. Raises MatrixError 429."""
        if self._servers is not None:
            self._servers.admit(origin)

    def remembered(self, token_hash: bytes, declaration: EndpointDeclaration) -> Requester | None:
        """Who calls, for who cannot wait: None unless that is in memory and nothing keeps him from this endpoint, whose
        calls must not be limited. Then `answer` finds out, or says what is wrong."""
        requester = None if self._oauth is None else self._oauth.remembered(token_hash)
        requester = requester or self._authenticator.remembered(token_hash)
        if requester is None:
            return None
        try:
            admit(declaration, requester)
            if self._consent is not None:
                self._consent.check(declaration, requester)
        except MatrixError:
            return None
        return requester

    def note_seen(self, requester: Requester, client_ip: str, user_agent: str) -> None:
        """A request was made with the token of this requester's device."""
        if self._last_seen is not None:
            self._last_seen.note(requester, client_ip, user_agent)

    async def _requester(self, incoming: Incoming, declaration: EndpointDeclaration) -> Requester | None:
        if declaration.auth is Auth.NONE:
            return None
        token_hash = access_token_hash(incoming.headers, incoming.query_string)
        if declaration.auth is Auth.SERVICE_OPTIONAL:
            return await self._service(token_hash, incoming)
        if token_hash is None:
            if declaration.auth is Auth.USER_OPTIONAL:
                return None
            raise missing_token()
        requester = await self._account(token_hash, incoming)
        admit(declaration, requester)
        if self._consent is not None:
            self._consent.check(declaration, requester)
        return requester

    async def _account(self, token_hash: bytes, incoming: Incoming) -> Requester:
        """Whose token it is. Tokens that are nobody's are never remembered, so guessing them is limited by address."""
        address = incoming.client_ip
        if self._oauth is not None and (known := self._oauth.remembered(token_hash)) is not None:
            return known
        try:
            return await self._authenticator.requester(
                token_hash, Query(incoming.query_string), lambda: self._limits.check_unknown_tokens(address)
            )
        except MatrixError as error:
            if error.errcode != "M_UNKNOWN_TOKEN" or error.fields.get("soft_logout"):
                raise
            found = await self._introspected(token_hash, incoming)
            if found is None:
                self._limits.token_unknown(address)
                raise
            return found

    async def _introspected(self, token_hash: bytes, incoming: Incoming) -> Requester | None:
        """Whom the authentication service knows by the token, where there is a service."""
        token = access_token(incoming.headers, incoming.query_string)
        if self._oauth is None or token is None:
            return None
        return await self._oauth.requester(token, token_hash)

    async def _service(self, token_hash: bytes | None, incoming: Incoming) -> Requester | None:
        if token_hash is None:
            return None
        return await self._authenticator.service_requester(token_hash)


def _request(incoming: Incoming, declaration: EndpointDeclaration, path: dict[str, str], **caller: Any) -> Request:
    return Request(
        method=incoming.method,
        uri_path=incoming.uri_path,
        path=path,
        query_string=incoming.query_string,
        headers=RequestHeaders(incoming.headers),
        content=incoming.content,
        request_id=incoming.request_id,
        client_ip=incoming.client_ip,
        declaration=declaration,
        stream=incoming.stream,
        started_s=incoming.started_s,
        **caller,
    )
