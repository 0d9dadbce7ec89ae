"""The endpoints for those who operate the server: health, readiness and metrics. They are asked by orchestrators,
proxies and Prometheus, not by Matrix clients; a proxy should not make them public.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import unrecognized
from hs_common.process.health import Health
from hs_common.process.metrics import CONTENT_TYPE, Metrics


class Operating:
    """`/health`, `/ready` and `/metrics` of one process. `metrics` None: they are told elsewhere."""

    def __init__(self, health: Health, metrics: Metrics | None) -> None:
        self._health = health
        self._metrics = metrics

    @endpoint("GET", "/health", auth=Auth.NONE, rate=Rate.NONE, reads=False, spec="viaduct: for operators")
    async def health(self, request: Request) -> Reply:
        """Liveness: 200 while the reactor turns. With `?deep`, for people, how the neighbours are as well."""
        alive = self._health.is_alive()
        body: dict[str, object] = {"alive": alive}
        if "deep" in request.query:
            body |= {"not_ready": self._health.reasons(), "checks": await self._health.deep()}
        return Response(200 if alive else 503, body)

    @endpoint("GET", "/ready", auth=Auth.NONE, rate=Rate.NONE, reads=False, spec="viaduct: for operators")
    async def ready(self, request: Request) -> Reply:
        """Readiness: 503 with the reasons while this process should get no requests."""
        reasons = self._health.reasons()
        return Response(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    @endpoint("GET", "/metrics", auth=Auth.NONE, rate=Rate.NONE, reads=False, spec="viaduct: for operators")
    async def metrics(self, request: Request) -> Reply:
        """Prometheus' text format. 404 on the port that everybody reaches, if metrics have one of their own."""
        if self._metrics is None:
            raise unrecognized("Metrics are told on a port of their own")
        return Response(200, self._metrics.exposition(), {"Content-Type": CONTENT_TYPE})
