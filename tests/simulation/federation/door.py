"""Where other servers' questions come in: the real endpoints by the real paths, without HTTP around them.

Who asks is believed; what the router does besides (limits of rate and size) is left out.
"""

from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from traceback import format_exc

from hs_common.http.endpoint import declarations_of
from hs_common.http.paths import PathTree, decode_segments
from hs_common.http.reply import Encoded, Reply, Streamed, encode_json
from hs_common.http.request import Request
from hs_common.http.streaming import ByteSource
from hs_common.matrix.errors import MatrixError
from hs_common.storage.queries import DatabaseError
from tests.simulation.federation.wire import Question, SimulatedAnswer

Endpoint = Callable[[Request], Awaitable[Reply]]


class Door:
    """`heard`: is told who asks; `failed`: of what no answer may be, a fault of ours."""

    def __init__(
        self, endpoints: Iterable[object], heard: Callable[[str], None], failed: Callable[[str], None]
    ) -> None:
        self._paths: PathTree[Endpoint] = PathTree()
        self._heard = heard
        self._failed = failed
        for instance in endpoints:
            for name, declaration in declarations_of(type(instance)):
                self._paths.add(declaration.method, declaration.path, getattr(instance, name))

    async def answer(self, question: Question) -> SimulatedAnswer:
        self._heard(question.origin)
        path, _, query = question.uri.partition("?")
        found = self._paths.find(question.method, decode_segments(path.encode()))
        assert found is not None, f"nobody answers {question.method} {path}"
        request = Request(
            method=question.method,
            uri_path=path,
            path=found.parameters,
            query_string=query.encode(),
            content=BytesIO(question.body or b""),
            origin=question.origin,
        )
        try:
            reply = await found.target(request)
            if isinstance(reply, Streamed):
                return SimulatedAnswer(reply.status, await _whole(reply.source))
        except MatrixError as error:
            return SimulatedAnswer(error.status, encode_json(error.body()))
        except DatabaseError:
            return SimulatedAnswer(503, b'{"errcode":"M_UNKNOWN","error":"The database is away"}')
        except Exception:
            self._failed(f"{question.method} {path} failed: {format_exc()}")
            return SimulatedAnswer(500, b'{"errcode":"M_UNKNOWN","error":"Internal error"}')
        return SimulatedAnswer(200, reply.json if isinstance(reply, Encoded) else encode_json(reply))


async def _whole(source: ByteSource) -> bytes:
    pieces = []
    while piece := await source.read(1 << 16):
        pieces.append(piece)
    source.close()
    return b"".join(pieces)
