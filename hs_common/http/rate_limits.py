"""The one gate for all rate limits: everybody's buckets, and everybody's exemptions.

Each limit class has a bucket per user, or per client address where no user is known. A bucket holds `burst` tokens and
gains `per_second` of them. It is kept as one number, the time at which it will be full again, so a full bucket need not
be kept at all (the "generic cell rate algorithm").

Rules: no other place counts requests or knows who is exempt. Limits are per process: behind a proxy that spreads one
client over n workers they are up to n times as wide, which protects the server all the same.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

from hs_common.bounded import Bounded
from hs_common.config.rate_limits import Bucket
from hs_common.config.rate_limits import RateLimits as RateLimitsConfig
from hs_common.http.endpoint import Rate
from hs_common.http.request import Requester
from hs_common.matrix.errors import limit_exceeded

BUCKETS_LIMIT: Final = 100_000
"""About 25 MiB. Only buckets that are not full are of use, so a flood of new addresses pushes out the idlest."""


def buckets_of(config: RateLimitsConfig) -> dict[Rate, Bucket]:
    """The configured bucket of each limit class; none if limits are off, as with `--dev`."""
    if config.disabled:
        return {}
    return {rate: getattr(config, rate.value) for rate in Rate if rate is not Rate.NONE}


class RateLimits:
    """`monotonic` is a clock in seconds. `limits` names the limits per class: a class without one is not limited, an
    empty mapping turns all off. `is_exempt` decides for users whom an administrator or a registration exempted."""

    def __init__(
        self,
        limits: Mapping[Rate, Bucket],
        monotonic: Callable[[], float],
        is_exempt: Callable[[Requester], bool] = lambda requester: False,
        buckets_limit: int = BUCKETS_LIMIT,
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._is_exempt = is_exempt
        self._full_at = Bounded[tuple[Rate, str], float](buckets_limit)

    def check(self, rate: Rate, requester: Requester | None, client_ip: str) -> None:
        """Takes one token. 429 `M_LIMIT_EXCEEDED` with `retry_after_ms` if there is none.

        https://spec.matrix.org/v1.19/client-server-api/#rate-limiting
        """
        if rate is Rate.NONE or (requester is not None and self._is_exempt(requester)):
            return
        self._take(rate, requester.user_id if requester else _network(client_ip))

    def check_server(self, rate: Rate, origin: str) -> None:
        """Takes one token of another server's."""
        if rate is not Rate.NONE:
            self._take(rate, origin)

    def check_login_failures(self, account: str) -> None:
        """Before a password is looked at: 429 if too many were wrong lately, whoever tried them."""
        limit = self._limits.get(Rate.LOGIN_FAILURE)
        if limit is not None:
            self._after_one_more(limit, self._full_at.get((Rate.LOGIN_FAILURE, account), 0.0))

    def login_failed(self, account: str) -> None:
        """A wrong password: takes a token that only failures take. 429 if that was one too many."""
        self._take(Rate.LOGIN_FAILURE, account)

    def check_unknown_tokens(self, client_ip: str) -> None:
        """Before an access token is looked up: 429 if too many from this address were nobody's lately."""
        limit = self._limits.get(Rate.UNKNOWN_TOKEN)
        if limit is not None:
            self._after_one_more(limit, self._full_at.get((Rate.UNKNOWN_TOKEN, _network(client_ip)), 0.0))

    def token_unknown(self, client_ip: str) -> None:
        """An access token that is nobody's: takes a token that only these take. 429 if that was one too many."""
        self._take(Rate.UNKNOWN_TOKEN, _network(client_ip))

    def check_mail(self, address: str) -> None:
        """One more mail to an address, whoever asks for it. 429 if that would be one too many."""
        self._take(Rate.MAIL, address)

    def _take(self, rate: Rate, who: str) -> None:
        limit = self._limits.get(rate)
        if limit is None:
            return
        key = (rate, who)
        self._full_at[key] = self._after_one_more(limit, self._full_at.get(key, 0.0))

    def _after_one_more(self, limit: Bucket, full_at: float) -> float:
        """When the bucket would be full after one more request; raises 429 if it has no token."""
        now = self._monotonic()
        full_at = max(full_at, now) + 1 / limit.per_second
        missing_s = full_at - now - limit.burst / limit.per_second
        if missing_s > 1e-6:  # what adding floats leaves over
            raise limit_exceeded(max(1, round(missing_s * 1000)))
        return full_at

    def entries(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)


def _network(client_ip: str) -> str:
    """The address, or for IPv6 its /64: one subscriber has at least that many to choose from."""
    try:
        address = ip_address(client_ip)
    except ValueError:
        return client_ip
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return client_ip
