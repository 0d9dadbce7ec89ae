"""Keys of other servers as they were last told. Written by whichever worker asked for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class KeptKey:
    """One key. `public_key` is base64; `valid_until_ms` its end, if `is_old`; `answer` the server's signed answer."""

    server: str
    key_id: str
    public_key: str
    valid_until_ms: int
    is_old: bool
    fetched_ms: int
    answer: bytes


async def of_servers(db: Queries, servers: Sequence[str]) -> list[KeptKey]:
    """All keys of some servers."""
    rows = await db.fetch(
        "SELECT server, key_id, public_key, valid_until_ms, is_old, fetched_ms, answer"
        " FROM server_keys WHERE server = ANY(%s)",
        (list(servers),),
    )
    return [KeptKey(*row) for row in rows]


async def keep(db: Queries, keys: Sequence[KeptKey]) -> None:
    """Newer answers replace older ones; a key that its server names no more stays as it was last told."""
    await db.execute(
        """
        INSERT INTO server_keys (server, key_id, public_key, valid_until_ms, is_old, fetched_ms, answer)
        SELECT * FROM unnest(%(servers)s::text[], %(ids)s::text[], %(keys)s::text[], %(until)s::bigint[],
                             %(old)s::boolean[], %(fetched)s::bigint[], %(answers)s::bytea[])
         ORDER BY 1, 2
            ON CONFLICT (server, key_id) DO UPDATE
           SET public_key = excluded.public_key, valid_until_ms = excluded.valid_until_ms, is_old = excluded.is_old,
               fetched_ms = excluded.fetched_ms, answer = excluded.answer
         WHERE server_keys.fetched_ms <= excluded.fetched_ms
        """,
        {
            "servers": [key.server for key in keys],
            "ids": [key.key_id for key in keys],
            "keys": [key.public_key for key in keys],
            "until": [key.valid_until_ms for key in keys],
            "old": [key.is_old for key in keys],
            "fetched": [key.fetched_ms for key in keys],
            "answers": [key.answer for key in keys],
        },
    )
