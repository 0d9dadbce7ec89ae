"""`viaduct`: a table of the commands. Each is imported when it is used, so that none pays for the others."""

import importlib

import click

_COMMANDS = {
    "up": ("start", "up", "Run the whole server here, for a first look or a small server."),
    "master": ("run", "master", "Run the master, or one that stands by."),
    "worker": ("run", "worker", "Run a worker of one or more roles."),
    "admin": ("admin", "admin", "Look after a running server."),
    "config": ("config", "config", "Print all options with their defaults, or check a config file."),
    "routes": ("routes", "routes", "Print which role serves which path, for a reverse proxy."),
    "migrate": ("migrate", "migrate", "Bring the database's schema to this version."),
    "setup": ("setup", "setup", "Make the keys and secrets of a deployment in containers."),
    "doctor": ("doctor", "doctor", "Say what is wrong with a server."),
    "test": ("test", "test", "Run the tests of a checkout."),
    "bench": ("bench", "bench", "Measure a homeserver: CPU, latencies, memory."),
}


class _LazyGroup(click.Group):
    """Commands known by name and sentence, imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"hs_common.process.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, _, sentence) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Viaduct, a Matrix homeserver."""


if __name__ == "__main__":
    main(prog_name="viaduct")
