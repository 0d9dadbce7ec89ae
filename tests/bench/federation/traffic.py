"""Transactions as they go over the wire, made and signed before anything is measured, and who sends them."""

import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson

from hs_common.matrix.request_signing import authorization
from hs_common.matrix.seal import Sealed
from tests.bench.federation.rooms import Origin
from tests.bench.http_client import Address, Connection

SEND: Final = "/_matrix/federation/v1/send/"
SENT_MS: Final = 1_770_000_000_000


@dataclass(frozen=True, slots=True)
class Transaction:
    """One request, ready to be sent, and the events in it."""

    question: bytes
    event_ids: tuple[str, ...]


def transactions(
    origin: Origin, destination: str, events: Iterator[Sealed], pdus: int, label: str
) -> Iterator[Transaction]:
    """The next events in transactions of so many; `label` keeps ids apart."""
    number = 0
    while batch := list(islice(events, pdus)):
        number += 1
        yield transaction(origin, destination, batch, f"{label}.{number}")


def transaction(origin: Origin, destination: str, events: Iterable[Sealed], transaction_id: str) -> Transaction:
    """One transaction, in the bytes of which the events are spliced: they are canonical JSON already."""
    batch = list(events)
    head = orjson.dumps({"origin": origin.name, "origin_server_ts": SENT_MS})[:-1]
    body = head + b',"pdus":[' + b",".join(event.encoded for event in batch) + b"]}"
    uri = SEND + transaction_id
    name, value = authorization("PUT", uri, origin.name, destination, body, origin.key)
    lines = (
        f"PUT {uri} HTTP/1.1",
        f"Host: {destination}",
        f"{name}: {value}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    question = "\r\n".join((*lines, "", "")).encode() + body
    return Transaction(question, tuple(event.event_id for event in batch))


class RefusedTransaction(Exception):
    """The receiver has not taken a transaction, or one of its events."""


class Sender:
    """One server's way to the receiver: one transaction at a time, on one connection over TLS."""

    def __init__(self, url: str, ca_file: str) -> None:
        address = Address(url)
        address.tls = ssl.create_default_context(cafile=ca_file)
        self._connection = Connection(address)

    async def send(self, transaction: Transaction) -> None:
        """Raises RefusedTransaction, or what the connection raises."""
        answer = await self._connection.exchange(transaction.question)
        if answer.status != 200:
            raise RefusedTransaction(f"{answer.status} {answer.body[:200]!r}")
        pdus = orjson.loads(answer.body).get("pdus", {})
        errors = [result["error"] for result in pdus.values() if result.get("error")]
        if errors:
            raise RefusedTransaction(f"{len(errors)} events were refused: {errors[0]}")

    def close(self) -> None:
        self._connection.close()
