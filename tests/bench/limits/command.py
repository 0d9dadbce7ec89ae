"""`bench limits`: grow a server until it is full, push it beyond, and look whether it has kept all it acknowledged."""

import asyncio
import json
import os
import platform
import signal
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hs_common.process.local_split import WORKERS
from hs_common.process.role_count import RoleCount
from tests.bench import tables
from tests.bench.bridge import Bridge
from tests.bench.calibration import Metronome, quiet_loop_us
from tests.bench.limits.amount import FULL, QUICK, Amount
from tests.bench.limits.beyond import Aftermath, Human, Pushed, look, push
from tests.bench.limits.findings import aftermath_lines, beyond_rows, growth_rows, step_line, summary_lines
from tests.bench.limits.growth import Growth, Step, grow
from tests.bench.limits.sender import Sender
from tests.bench.limits.watch import Watch
from tests.bench.population import Population
from tests.bench.processes import allow_many_connections
from tests.bench.servers import OWN_LAYOUTS, OwnServer, ServerError
from tests.bench.service import Registration, Service
from tests.bench.showing import say


@click.command()
@click.option("--quick", is_flag=True, help="Within two minutes, and less far.")
@click.option("--layout", type=click.Choice(OWN_LAYOUTS), default="split-direct", show_default=True)
@click.option("--scale", multiple=True, type=RoleCount(WORKERS), help="So many workers of a role, in a split.")
@click.option("--quiet-loop-us", type=float, help="What the calibration loop takes on a quiet core.  [default: found]")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option("--markdown", is_flag=True, help="Tables for a page.")
def limits(**options: Any) -> None:
    """Grow ghosts, rooms, members and messages in flight until the server is full, and go beyond; within five minutes.

    Ends with status 1 if a message that was acknowledged is lost, there twice or out of order, if anything but 429 or
    503 was answered, or if the server does not become as quick as it was.
    """
    amount = QUICK if options["quick"] else FULL
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then stop what was started
    server = OwnServer(options["layout"], None, dict(options["scale"]))
    try:
        steps, pushed, aftermath = asyncio.run(_explore(server, amount, options["quiet_loop_us"]))
    except ServerError as error:
        raise click.ClickException(str(error)) from error
    if options["json_path"]:
        document = {"steps": list(map(asdict, steps)), "beyond": list(map(asdict, pushed))}
        options["json_path"].write_text(json.dumps({**document, "aftermath": asdict(aftermath)}, indent=1) + "\n")
    table = tables.markdown if options["markdown"] else tables.aligned
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    click.echo(f"\n{moment}, {machine}, {server.name}, {amount.name}.\n")
    click.echo(f"{table(growth_rows(steps))}\n\n{table(beyond_rows(pushed))}\n")
    for line in (*summary_lines(steps, pushed), *aftermath_lines(aftermath)):
        click.echo(f"- {line}")
    if any(one.tally.faults for one in steps) or any(one.tally.faults for one in pushed) or not aftermath.is_well:
        raise SystemExit(1)


async def _explore(
    server: OwnServer, amount: Amount, quiet_us: float | None
) -> tuple[list[Step], list[Pushed], Aftermath]:
    quiet_us = quiet_us or quiet_loop_us()
    async with AsyncExitStack() as stack:
        metronome = await stack.enter_async_context(Metronome())
        stack.callback(server.remove)
        stack.push_async_callback(server.stop)
        await server.start()
        service = Service()
        known = Registration.made_up(await service.start())
        stack.callback(service.stop)
        await server.register(known)
        bridge, watch = Bridge(server.address, known, service), None if server.tree is None else Watch(server.tree)
        told: list[str] = []
        service.on_event = lambda event: told.append(event["event_id"])
        people = Population(server.address, "limits")
        human = await _human(people)
        usual_ms = await human.usual_ms()
        growth = Growth(bridge, watch, metronome, quiet_us)
        steps = await grow(growth, amount, lambda step: say(step_line(step)))
        pushed = []
        for name, senders in (
            ("one service", growth.make_senders(amount.beyond_in_flight)),
            (f"{amount.users} users", await _users(people, amount, growth)),
        ):
            say(f"beyond: {len(senders)} messages in flight, of {name}")
            pushed.append(await push(name, senders, amount.beyond_s, human, watch))
        say("looking for what was acknowledged")
        return steps, pushed, await look(usual_ms, human, growth.senders, told)


async def _human(people: Population) -> Human:
    (user,) = await people.users(1)
    return Human(user, await people.room([user]))


async def _users(people: Population, amount: Amount, growth: Growth) -> list[Sender]:
    """Users who send as much together as one service before, each into a room of his own."""
    users = await people.users(amount.users)
    rooms = await people.rooms(len(users), lambda number: [users[number]])
    senders = [
        Sender(users[number % len(users)].another(), rooms[number % len(users)], f"u{number}", is_ghost=False)
        for number in range(amount.beyond_in_flight)
    ]
    growth.senders += senders
    return senders
