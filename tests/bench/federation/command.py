"""`bench federation`: what receivers use for the same traffic, a slice of one after the slice of the other."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tests.bench import tables
from tests.bench.calibration import Metronome, quiet_loop_us
from tests.bench.federation.receivers import RECEIVERS, receiver
from tests.bench.federation.servers import ForeignServers
from tests.bench.federation.works import FULL, PASSWORD, QUICK, WORKS, Amount, Stage
from tests.bench.matrix_client import Client
from tests.bench.profiling import Profile
from tests.bench.run import Run
from tests.bench.servers import Server
from tests.bench.showing import say, show_document
from tests.bench.size import FULL as FULL_SIZE
from tests.certificates import Authority


@click.command()
@click.argument("works", nargs=-1, type=click.Choice(tuple(WORKS)))
@click.option("--layout", "layouts", multiple=True, type=click.Choice(RECEIVERS), help="Receivers, in turn.")
@click.option("--quick", is_flag=True, help="Less of everything, and a join of 2,000 members instead of 10,000.")
@click.option("--members", type=click.IntRange(10, 100_000), help="Members of the large room.")
@click.option("--slices", type=click.IntRange(1, 100), help="So many slices of each work.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option("--profile", metavar="GROUP", help="Sample the busiest process of this group with py-spy.")
@click.option(
    "--profile-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-profile"), show_default=True
)
def federation(
    works: Sequence[str],
    layouts: Sequence[str],
    quick: bool,
    members: int | None,
    slices: int | None,
    json_path: Path | None,
    profile: str | None,
    profile_dir: Path,
) -> None:
    """Measure WORKS, or all: events that other servers send, events sent to them, a large room joined through one."""
    amount = QUICK if quick else FULL
    amount = (
        amount
        if slices is None
        else replace(amount, slices=slices, joins=slices, name=f"{amount.name}, {slices} slices")
    )
    amount = amount if members is None else replace(amount, joined_members=members)
    watch = Profile(profile, profile_dir, say) if profile else None

    def keep(found: dict[str, Any]) -> None:
        if json_path:
            json_path.write_text(json.dumps(found, indent=1) + "\n")

    document = asyncio.run(_measure(works or tuple(WORKS), layouts or ("split", "synapse"), amount, watch, keep))
    keep(document)
    show_document(document, tables.aligned)
    if tables.errors_of(document):
        raise SystemExit(1)


async def _measure(
    works: Sequence[str],
    layouts: Sequence[str],
    amount: Amount,
    profile: Profile | None,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """`keep` is given what was found so far."""
    quiet_us = quiet_loop_us()
    async with AsyncExitStack() as stack:
        metronome = await stack.enter_async_context(Metronome())
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-bench-"))))
        stages = [await _stage(layout, amount, authority, stack) for layout in layouts]
        size = replace(FULL_SIZE, name=f"federation, {amount.name}", slices=amount.slices, seconds=amount.seconds)
        found = Run(size, metronome, say, profile)
        servers: list[Server] = [stage.receiver for stage in stages]
        for name in works:
            await found.works(name, [WORKS[name](stage) for stage in stages], servers)
            keep(found.document(servers, min(quiet_us, metronome.quiet_us())))
        for server in servers:
            found.remember_memory(server, "after all")
        for stage in stages:
            for question in sorted(set(stage.foreign.asked)):
                say(f"{stage.receiver.name} asked in vain: {question}")
        return found.document(servers, min(quiet_us, metronome.quiet_us()))


async def _stage(layout: str, amount: Amount, authority: Authority, stack: AsyncExitStack) -> Stage:
    """A running receiver and a user of it, with other servers of its own."""
    foreign = ForeignServers(amount.servers, authority.issue("localhost", "127.0.0.1"))
    await foreign.start()
    stack.push_async_callback(foreign.stop)
    server = receiver(layout)
    stack.callback(server.stop)
    server.start(authority, [origin.name for origin in foreign.origins])
    say(f"{layout}: answers on {server.address.url}, for servers on {server.federation_url}")
    user = Client(server.address)
    await user.register("bench", PASSWORD)
    return Stage(server, foreign, str(authority.ca_file), amount, user)
