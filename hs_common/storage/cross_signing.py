"""Cross-signing keys. Reads only: the master writes."""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class CrossSigningKey:
    """`usage` is master, self_signing or user_signing; `keys` a JSON object without its `signatures`."""

    user_id: str
    usage: str
    public_key: str
    keys: str
    signatures: str


async def cross_signing_keys(db: Queries, user_ids: Sequence[str]) -> list[CrossSigningKey]:
    """All keys of the users."""
    rows = await db.fetch(
        "SELECT user_id, usage, public_key, keys, signatures FROM cross_signing_keys WHERE user_id = ANY(%s)",
        (list(user_ids),),
    )
    return [CrossSigningKey(*row) for row in rows]
