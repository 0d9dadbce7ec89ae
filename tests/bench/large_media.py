"""One file of 1 GiB up and down through one media worker, and 200 slow downloads while others go on: how much the
worker's memory grows, and how long the others wait.

    python -m tests.bench.large_media [--mebibytes 1024] [--slow 200] [--object-store]

Not a part of the tests: it takes a minute and as much disk. The worker is a process of its own, which is what is
measured. With `--object-store` it keeps everything in an S3 server (moto's, which holds all in its own memory).
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import click

from hs_common.config.option import Secret
from tests.reactor import run, until
from tests.scenarios.ports import PortBlock
from tests.services import TestPostgres
from tests.workers.media.object_store import ObjectStore, running_object_store
from tests.workers.media.world import AUTHED, NAME, V3, media_worker

PIECE: Final = os.urandom(1 << 20)
TOKEN: Final = {"Authorization": "Bearer alice"}
SLOW_BYTES: Final = 8 << 20
"""Of the file that slow clients take their time for."""
OTHERS: Final = 200
LONGEST_RUN_S: Final = 3600.0


@dataclass
class Worker:
    """The process and its port."""

    process: "subprocess.Popen[bytes]"
    port: int

    def memory(self) -> int:
        """Bytes that it holds now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def peak(self) -> int:
        """The most that it held since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=600)


def upload(worker: Worker, mebibytes: int) -> tuple[str, str]:
    """The id of a new file, and its SHA-256."""
    digest = hashlib.sha256()

    def pieces() -> Any:
        for number in range(mebibytes):
            piece = number.to_bytes(8, "big") + PIECE[8:]
            digest.update(piece)
            yield piece

    connection = worker.connect()
    headers = {**TOKEN, "Content-Length": str(mebibytes << 20)}
    connection.request("POST", f"{V3}/upload", pieces(), headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer.decode().rpartition("/")[2].partition('"')[0], digest.hexdigest()


def download(worker: Worker, media_id: str) -> str:
    """The SHA-256 of what came."""
    connection = worker.connect()
    connection.request("GET", f"{AUTHED}/download/{NAME}/{media_id}", headers=TOKEN)
    response, digest = connection.getresponse(), hashlib.sha256()
    while piece := response.read(1 << 20):
        digest.update(piece)
    connection.close()
    return digest.hexdigest()


def report(what: str, value: str) -> None:
    click.echo(f"{what:<58} {value}")


def large_file(worker: Worker, mebibytes: int) -> None:
    """Up and down."""
    before = worker.memory()
    worker.forget_peak()
    began = time.monotonic()
    media_id, wanted = upload(worker, mebibytes)
    up = time.monotonic()
    assert download(worker, media_id) == wanted, "what came back is not what was sent"
    down = time.monotonic()
    report(f"{mebibytes} MiB up", f"{mebibytes / (up - began):.0f} MiB/s")
    report(f"{mebibytes} MiB down", f"{mebibytes / (down - up):.0f} MiB/s")
    report("growth of the worker's memory at its peak", f"{(worker.peak() - before) / (1 << 20):.0f} MiB")


def slow_downloads(worker: Worker, count: int) -> None:
    """Clients that take some KB now and then, while others take a small file."""
    large, _ = upload(worker, SLOW_BYTES >> 20)
    small, _ = upload(worker, 1)
    quiet = [_timed(worker, small) for _ in range(OTHERS)]
    before = worker.memory()
    worker.forget_peak()
    ended = threading.Event()
    slow = [threading.Thread(target=_slowly, args=(worker, large, ended), daemon=True) for _ in range(count)]
    for thread in slow:
        thread.start()
    time.sleep(3)
    busy = [_timed(worker, small) for _ in range(OTHERS)]
    ended.set()
    for thread in slow:
        thread.join()
    report("1 MiB down, alone: median, 95 %", _told(quiet))
    report(f"1 MiB down, beside {count} slow downloads: median, 95 %", _told(busy))
    report("growth of the worker's memory at its peak", f"{(worker.peak() - before) / (1 << 20):.0f} MiB")


def _slowly(worker: Worker, media_id: str, ended: threading.Event) -> None:
    connection = worker.connect()
    connection.request("GET", f"{AUTHED}/download/{NAME}/{media_id}", headers=TOKEN)
    response = connection.getresponse()
    while not ended.wait(0.5) and response.read(4096):
        pass
    connection.close()


def _timed(worker: Worker, media_id: str) -> float:
    began = time.monotonic()
    download(worker, media_id)
    return time.monotonic() - began


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms, {statistics.quantiles(seconds, n=20)[-1] * 1000:.1f} ms"


async def serve(url: str, folder: Path, *s3: str) -> None:
    """The worker: prints its port, and serves until it is killed."""
    options: dict[str, Any] = {"upload_bytes": 1 << 40}
    if s3:
        options = {"upload_bytes": 5 << 30, "s3": ObjectStore(s3[0], s3[1], Secret(s3[2])).options()}
    async with media_worker(url, folder, **options) as world:
        sys.stdout.write(f"{world.served.port}\n")
        sys.stdout.flush()
        await until(lambda: os.getppid() == 1, timeout=LONGEST_RUN_S)


@click.command()
@click.option("--mebibytes", default=1024, show_default=True, help="Of the large file.")
@click.option("--slow", default=200, show_default=True, help="Slow downloads at the same time.")
@click.option("--object-store", is_flag=True, help="Keep media in an S3 server.")
def main(mebibytes: int, slow: int, object_store: bool) -> None:
    """Measure one media worker with a large file and with slow clients."""
    with ExitStack() as stack:
        postgres = stack.enter_context(TestPostgres())
        url = stack.enter_context(postgres.database())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-bench-"))
        arguments = [url, folder]
        if object_store:
            ports = stack.enter_context(PortBlock())
            store = stack.enter_context(running_object_store(ports.first))
            arguments += [store.endpoint, store.access_key_id, store.secret_access_key]
        program = [sys.executable, "-m", "tests.bench.large_media", "serve", *arguments]
        process = stack.enter_context(subprocess.Popen(program, stdout=subprocess.PIPE))
        stack.callback(process.kill)
        assert process.stdout is not None
        worker = Worker(process, int(process.stdout.readline()))
        large_file(worker, mebibytes)
        slow_downloads(worker, slow)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        run(serve(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]), LONGEST_RUN_S)
    else:
        main()
