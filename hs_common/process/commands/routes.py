"""`viaduct routes`: the reverse proxy's routes, from what the endpoints declare."""

import importlib

import click

from hs_common.process.proxy_routes import FORMATS, ProxyRoute, render


def declared_routes() -> list[ProxyRoute]:
    """Every method and path, aliases included, of every role."""
    registry = importlib.import_module("hs_workers.registry")
    router = importlib.import_module("hs_common.http.router")
    return [
        ProxyRoute(role, template, declaration.method)
        for role, classes in registry.endpoint_classes().items()
        for declaration in router.declared_endpoints(classes)
        for template in declaration.templates
    ]


@click.command()
@click.option("--format", "format_name", type=click.Choice(list(FORMATS)), default="json", show_default=True)
def routes(format_name: str) -> None:
    """Print which role serves which path. The role with the most paths is the default; only the others' are listed."""
    click.echo(render(declared_routes(), format_name), nl=False)
