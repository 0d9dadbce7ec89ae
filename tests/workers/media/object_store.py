"""A real S3 server (moto's) in a process of its own, which checks signatures; and faults on the way to it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

from hs_common.config.option import Secret
from tests.reactor import reactor

BUCKET: Final = "media"
START_LIMIT_S: Final = 60.0
_ALLOWED: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
_SETUP_CALLS: Final = 4
"""Unsigned calls that the server lets through: those of `_begin`."""


@dataclass
class ObjectStore:
    """A bucket of its own server."""

    endpoint: str
    access_key_id: str
    secret_access_key: str

    def options(self, **more: Any) -> dict[str, Any]:
        """As the config's table `media.s3` has them."""
        return {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "access_key_id": self.access_key_id,
            "secret_access_key": Secret(self.secret_access_key),
            **more,
        }

    def objects(self) -> list[str]:
        """All objects that are there."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def unfinished(self) -> int:
        """Uploads in parts that were begun and not completed."""
        return len(self._client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))

    def empty(self) -> None:
        """Deletes everything."""
        for key in self.objects():
            self._client().delete_object(Bucket=BUCKET, Key=key)

    def check_signatures(self, check: bool) -> None:
        """moto knows no signed URLs: it has to trust those who come with one."""
        count = b"0" if check else b"1000000"
        urlopen(Request(f"{self.endpoint}/moto-api/reset-auth", count, {"Content-Type": "text/plain"})).close()

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
        )


@contextmanager
def running_object_store(port: int) -> Iterator[ObjectStore]:
    """On that port, until the block ends."""
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(_SETUP_CALLS)}
    arguments = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield _begin(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def _begin(endpoint: str) -> ObjectStore:
    """Once it answers: a user who may do everything, and a bucket."""
    _wait_for(endpoint)
    anybody = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "anybody",
        "aws_secret_access_key": "anything",
    }
    users = boto3.client("iam", **anybody)
    users.create_user(UserName="viaduct")
    users.put_user_policy(UserName="viaduct", PolicyName="all", PolicyDocument=json.dumps(_ALLOWED))
    key = users.create_access_key(UserName="viaduct")["AccessKey"]
    boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET)
    return ObjectStore(endpoint, key["AccessKeyId"], key["SecretAccessKey"])


def _wait_for(endpoint: str) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            urlopen(f"{endpoint}/moto-api/", timeout=5).close()
            return
        except URLError:
            assert time.monotonic() < end, "the S3 server did not start"
            time.sleep(0.05)


# What can go wrong on the way


class Fault:
    """What the way does; may be changed any time. `cut_after` counts an answer's bytes, and is over once it struck."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        """Said instead of what the store says, without asking it."""
        self.cut_after: int | None = None
        self.is_silent = False
        self.delay_s = 0.0
        """So much later everything arrives that the store is told."""
        self.connections = 0


class _ToStore(ProxyClient):
    def dataReceived(self, data: bytes) -> None:
        peer: Any = self.peer
        fault: Fault = peer.fault
        if fault.cut_after is not None:
            fault.cut_after -= len(data)
            if fault.cut_after < 0:
                fault.cut_after = None
                peer.transport.abortConnection()
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class _ToStoreFactory(ProxyClientFactory):
    protocol = _ToStore
    noisy = False


class _FromClient(ProxyServer):
    clientProtocolFactory = _ToStoreFactory
    fault: Fault

    def connectionMade(self) -> None:
        factory: Any = self.factory
        self.fault = factory.fault
        self.fault.connections += 1
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if self.fault.answer is not None:
            transport.write(self.fault.answer)
            transport.unregisterProducer()  # else it stays open until the other side closes
            transport.loseConnection()
        elif self.fault.delay_s:
            reactor.callLater(self.fault.delay_s, super().dataReceived, data)
        elif not self.fault.is_silent:
            super().dataReceived(data)  # type: ignore[no-untyped-call]


class _Way(ProxyFactory):
    protocol = _FromClient
    noisy = False

    def __init__(self, host: str, port: int, fault: Fault) -> None:
        super().__init__(host, port)
        self.fault = fault


@asynccontextmanager
async def faulty_way(store: ObjectStore) -> AsyncIterator[tuple[ObjectStore, Fault]]:
    """The same store, reached on a way that can be made faulty."""
    fault = Fault()
    port = int(store.endpoint.rpartition(":")[2])
    listening = reactor.listenTCP(0, _Way("127.0.0.1", port, fault), interface="127.0.0.1")
    endpoint = f"http://127.0.0.1:{listening.getHost().port}"
    try:
        yield ObjectStore(endpoint, store.access_key_id, store.secret_access_key), fault
    finally:
        await listening.stopListening()
