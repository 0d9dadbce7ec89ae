"""The stage of user-interactive authentication that keeps robots out.

Rules: an answer is checked where the config says, once. When nobody can be asked there, nobody is let in.

Spec: client-server API, #google-recaptcha.
"""

from typing import Any, Final
from urllib.parse import urlencode

import orjson
from twisted.logger import Logger

from hs_common.config.terms import Captcha
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.errors import MatrixError
from hs_workers.client.uia_stages import StageFailed, StatelessStage

LIMITS: Final = Limits(total_s=15, body_bytes=16 * 1024)
RESPONSE_LIMIT: Final = 16 * 1024
"""Characters; real answers have some thousand."""

_log = Logger()


class CaptchaStage(StatelessStage):
    """`egress` asks the service that checks answers."""

    def __init__(self, egress: EgressClient, settings: Captcha) -> None:
        self._egress = egress
        self._settings = settings

    def params(self) -> dict[str, Any] | None:
        """The key by which clients show the captcha."""
        return {"public_key": self._settings.public_key}

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Nothing is remembered."""
        response = auth.get("response")
        if not isinstance(response, str) or not response:
            raise StageFailed("M_CAPTCHA_NEEDED", "Solve the captcha first")
        if len(response) > RESPONSE_LIMIT or not await self._is_right(response):
            raise StageFailed("M_CAPTCHA_INVALID", "The captcha was not solved. Try again")
        return {}

    async def _is_right(self, response: str) -> bool:
        body = urlencode({"secret": self._settings.private_key, "response": response}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = await self._egress.fetch(Purpose.SIGN_IN, "POST", self._settings.verify_url, headers, body, LIMITS)
            verdict = orjson.loads(answer.body) if answer.is_success else {}
        except (EgressError, orjson.JSONDecodeError) as error:
            _log.error("answers to the captcha cannot be checked: {error}", error=error)
            raise MatrixError(503, "M_UNKNOWN", "The captcha cannot be checked at the moment. Try again") from error
        return isinstance(verdict, dict) and verdict.get("success") is True
