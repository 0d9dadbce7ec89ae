"""What a run says while it goes on, and what it prints at its end."""

from typing import Any

import click

from tests.bench import tables


def show_document(document: dict[str, Any], table: Any) -> None:
    machine, size, quiet_us = document["machine"], document["size"], document["quiet_loop_us"]
    click.echo(f"\n{document['at']}, {machine}, {size}, quiet loop {quiet_us:.0f} µs. CPU in ms per operation.")
    if document["profiled"]:
        click.echo(f"A profiler watched {document['profiled']}: the figures are not to be compared.")
    for target in document["targets"]:
        click.echo(f"\n{target}\n")
        click.echo(table(tables.result_rows(document, target)))
    if document["memory"]:
        click.echo("\n" + table(tables.memory_rows(document)))
    for error in tables.errors_of(document):
        click.secho(error, fg="red")


def say(text: str) -> None:
    click.echo(text, err=True)
