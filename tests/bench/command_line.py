"""The commands: run, show, compare. `run` is what is meant when none is named."""

import asyncio
import json
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from hs_common.process.local_split import WORKERS
from hs_common.process.role_count import RoleCount
from tests.bench import tables
from tests.bench.bridge import Bridge
from tests.bench.calibration import Metronome, quiet_loop_us
from tests.bench.federation.command import federation
from tests.bench.kept import Kept
from tests.bench.limits.command import limits
from tests.bench.population import Population
from tests.bench.processes import Root, allow_many_connections
from tests.bench.profiling import Profile, ProfilerMissingError
from tests.bench.run import Run
from tests.bench.scenarios import LIFECYCLE, OF_BRIDGES, SCENARIOS
from tests.bench.servers import OWN_LAYOUTS, OwnServer, RunningServer, Server, ServerError, StartedServer
from tests.bench.service import Registration, Service
from tests.bench.showing import say, show_document
from tests.bench.size import FULL, QUICK, SIZES, Size
from tests.bench.synapse_server import SYNAPSE_LAYOUTS, SynapseServer

_NAMES = (*SCENARIOS, *LIFECYCLE)
_LAYOUTS = (*OWN_LAYOUTS, *SYNAPSE_LAYOUTS)
_REGISTRATION = click.Path(path_type=Path, dir_okay=False, exists=True)


class _RunByDefault(click.Group):
    """Puts `run` before arguments that begin with no command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Measure a homeserver: CPU per operation and process, latencies, memory."""


class _RootType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """`PID` or `GROUP=PID`."""

    name = "[GROUP=]PID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Root:
        group, _, number = str(value).rpartition("=")
        if not number.isdigit():
            self.fail(f"{value} is not a process id", param, ctx)
        return Root(int(number), group or None)


class _SizeType(click.ParamType):  # type: ignore[type-arg]  # as above
    """`NAME=NUMBER`, a name of a run's sizes."""

    name = "NAME=NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        name, _, number = str(value).partition("=")
        if name not in SIZES or not number.isdigit():
            self.fail(f"{value} is none of these with a number: {', '.join(SIZES)}", param, ctx)
        return name, int(number)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asks for."""

    scenarios: Sequence[str]
    layouts: Sequence[str]
    checkouts: Sequence[Path]
    scale: Mapping[str, int]
    running: Sequence[RunningServer]
    size: Size
    quiet_loop_us: float | None
    data_folder: Path | None
    keep: Path | None
    profile: str | None
    profile_folder: Path
    json_path: Path | None


@main.command()
@click.argument("scenarios", nargs=-1, type=click.Choice(_NAMES))
@click.option("--layout", "layouts", multiple=True, type=click.Choice(_LAYOUTS), help="Start one here; more: in turn.")
@click.option(
    "--checkout",
    "checkouts",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    help="Start the layouts of another checkout too, such as of an older version, slice by slice in turn.",
)
@click.option("--scale", multiple=True, type=RoleCount(WORKERS), help="So many workers of a role, in our own splits.")
@click.option("--url", help="Measure the server that runs there, which must let anybody register.")
@click.option("--against", help="Measure this one too, slice by slice in turn.")
@click.option("--pids", multiple=True, type=_RootType(), help="Processes of --url, each with all below it.")
@click.option("--against-pids", multiple=True, type=_RootType(), help="Processes of --against.")
@click.option("--registration", type=_REGISTRATION, help="A service of ours that --url knows: see `registration`.")
@click.option("--against-registration", type=_REGISTRATION, help="Likewise, that --against knows.")
@click.option("--database-url", help="The PostgreSQL of --url, to see by how much it grows.")
@click.option("--against-database-url", help="Likewise, of --against.")
@click.option("--quick", is_flag=True, help="About a minute for each layout, and rougher figures.")
@click.option("--slices", type=click.IntRange(1, 100), help="So many slices of each work.")
@click.option("--seconds", type=click.FloatRange(0.2, 60), help="So long a slice.")
@click.option("--set", "sizes", multiple=True, type=_SizeType(), help="Another size, as backlog=5000.")
@click.option("--quiet-loop-us", type=float, help="What the calibration loop takes on a quiet core.  [default: found]")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Servers started here keep their data there, on the disk to be measured.  [default: the temporary folder]",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="Servers started here stay in this folder, filled as they are, and a later run goes on with them.",
)
@click.option("--profile", metavar="GROUP", help="Sample the busiest process of this group with py-spy.")
@click.option(
    "--profile-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-profile"), show_default=True
)
def run(**options: Any) -> None:
    """Measure SCENARIOS, or all: on a server started here (--layout, by default split), or on one that runs."""
    if options["keep"] and options["checkouts"]:
        raise click.UsageError("--keep has one folder for each layout: not with --checkout")
    size = QUICK if options["quick"] else FULL
    changed = dict(options["sizes"]) | {name: options[name] for name in ("slices", "seconds") if options[name]}
    if changed:
        size = replace(size, name=f"{size.name} {changed}", **changed)
    running = [
        RunningServer(
            options[url],
            options[url],
            options[f"{more}pids"],
            options[f"{more}database_url"],
            _registration(options[f"{more}registration"]),
        )
        for url, more in (("url", ""), ("against", "against_"))
        if options[url]
    ]
    wish = _Wish(
        scenarios=options["scenarios"] or _NAMES,
        layouts=options["layouts"] or (() if options["url"] else ("split",)),
        checkouts=options["checkouts"],
        scale=dict(options["scale"]),
        running=running,
        size=size,
        quiet_loop_us=options["quiet_loop_us"],
        data_folder=options["data_dir"],
        keep=options["keep"],
        profile=options["profile"],
        profile_folder=options["profile_dir"],
        json_path=options["json_path"],
    )
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then stop what was started
    try:
        document = asyncio.run(_run(wish))
    except (ServerError, ProfilerMissingError) as error:
        raise click.ClickException(str(error)) from error
    show_document(document, tables.aligned)
    if tables.errors_of(document):
        raise SystemExit(1)


def _registration(path: Path | None) -> Registration | None:
    return None if path is None else Registration.read(path)


@main.command()
@click.option("--port", type=click.IntRange(1024, 65535), default=19_999, show_default=True)
def registration(port: int) -> None:
    """Print a registration file for a server that is to be measured with bridges, and for --registration."""
    click.echo(Registration.made_up(port).file())


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--markdown", is_flag=True)
def show(file: Path, markdown: bool) -> None:
    """Print the tables of a run that was written with --json."""
    show_document(json.loads(file.read_text()), tables.markdown if markdown else tables.aligned)


@main.command()
@click.argument("first", type=click.Path(path_type=Path, exists=True))
@click.argument("second", type=click.Path(path_type=Path, exists=True))
@click.option("--targets", nargs=2, help="The targets to compare, by name.  [default: the first of each]")
@click.option("--markdown", is_flag=True)
def compare(first: Path, second: Path, targets: tuple[str, str] | None, markdown: bool) -> None:
    """Ratios SECOND : FIRST. For two targets of one run give its file twice, and --targets."""
    documents = json.loads(first.read_text()), json.loads(second.read_text())
    names = targets or (documents[0]["targets"][0], documents[1]["targets"][0])
    try:
        rows = tables.comparison_rows(*documents, names)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo((tables.markdown if markdown else tables.aligned)(rows))


async def _run(wish: _Wish) -> dict[str, Any]:
    quiet_at_start_us = quiet_loop_us()
    profile = Profile(wish.profile, wish.profile_folder, say) if wish.profile else None
    async with AsyncExitStack() as stack:
        metronome = await stack.enter_async_context(Metronome())
        own = [await _started(layout, wish, stack) for layout in wish.layouts]
        own += [
            await _started(layout, wish, stack, checkout)
            for checkout in wish.checkouts
            for layout in wish.layouts
            if layout in OWN_LAYOUTS
        ]
        servers: list[StartedServer | RunningServer] = [*own, *wish.running]
        found = Run(wish.size, metronome, say, profile)
        wants_bridges = any(name in OF_BRIDGES for name in wish.scenarios)
        populations = [
            Population(
                server.address,
                secrets.token_hex(4),
                await _bridge(server, stack) if wants_bridges else None,
                _kept(wish, server.name) if server in own else None,
            )
            for server in servers
        ]
        for name in wish.scenarios:
            if name in SCENARIOS:
                await found.scenario(name, servers, populations)
                _write(wish, servers, found, quiet_at_start_us, metronome)
        for server in servers:
            found.remember_memory(server, "after load")
        if "first-window" in wish.scenarios:
            for server, population in zip(own, populations, strict=False):  # those that run already come after
                await found.first_window(server, population)
        if "start" in wish.scenarios:
            for server in own:
                await found.start(server)
        if "idle" in wish.scenarios:
            for any_server in servers:
                await found.idle(any_server)
        return _write(wish, servers, found, quiet_at_start_us, metronome)


def _write(
    wish: _Wish, servers: Sequence[Server], found: Run, quiet_at_start_us: float, metronome: Metronome
) -> dict[str, Any]:
    """What was found so far, in the file too: a run that is interrupted leaves what it has."""
    document = found.document(servers, wish.quiet_loop_us or min(quiet_at_start_us, metronome.quiet_us()))
    if wish.json_path is not None:
        wish.json_path.write_text(json.dumps(document, indent=1) + "\n")
    return document


async def _bridge(server: StartedServer | RunningServer, stack: AsyncExitStack) -> Bridge | None:
    """A service that listens and that the server knows; None if it knows none of ours."""
    service = Service()
    if not isinstance(server, RunningServer):
        known = Registration.made_up(await service.start())
        await server.register(known)
    elif server.registration is None:
        return None
    else:
        known = server.registration
        await service.start(known.port)
    stack.callback(service.stop)
    return Bridge(server.address, known, service)


async def _started(layout: str, wish: _Wish, stack: AsyncExitStack, checkout: Path | None = None) -> StartedServer:
    server: StartedServer
    if layout in SYNAPSE_LAYOUTS:
        server = SynapseServer(layout, wish.data_folder, _kept(wish, layout))
    else:
        server = OwnServer(layout, wish.data_folder, wish.scale, checkout, _kept(wish, layout))
    stack.callback(server.remove)
    stack.push_async_callback(server.stop)
    seconds = await server.start()
    say(f"{server.name}: answers on {server.address.url} after {seconds:.1f} s")
    return server


def _kept(wish: _Wish, name: str) -> Kept | None:
    return Kept(wish.keep / name) if wish.keep else None


main.add_command(federation)
main.add_command(limits)
