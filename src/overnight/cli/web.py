"""`overnight web`"""

from __future__ import annotations

import ipaddress

import click
from msgspec.structs import replace

from overnight.api.access import Access
from overnight.cli import home
from overnight.cli.paper import note, say
from overnight.errors import BadInput


@click.group(invoke_without_command=True)
@click.option("--address", metavar="IP", help="Listen on this address, instead of what the settings say.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port; 0 takes a free one.")
@click.pass_context
def web(ctx: click.Context, address: str | None, port: int | None) -> None:
    """The dashboard and the HTTP API.

    The daemon serves them by itself. Without one, this command does so in the foreground, read-only, until Ctrl-C.
    """
    if ctx.invoked_subcommand is not None:
        return
    from overnight.web_process import run

    settings, state = home.settings(), home.state_folder()
    chosen = settings.web
    if address is not None:
        chosen = replace(chosen, address=address)
    if port is not None:
        chosen = replace(chosen, port=port)

    def ready(url: str) -> None:
        say("Serving on ", (url, "bold"), ". `overnight web login` prints a link that logs you in.")
        if not _loopback(chosen.address):
            note(f"{chosen.address} can be reached from other machines: whoever has the token may do all that you may. "
                 "The connection is not encrypted; put a proxy with TLS in front of it.")  # fmt: skip
        if home.daemon() is None:
            note("No daemon runs: pages show what was, and nothing can be changed but pauses.")

    run(replace(settings, web=chosen), state, ready=ready)


_as = click.option(
    "--as", "person", metavar="NAME", help="As this one of [people] in config.toml, with what their `may` says."
)


@web.command()
@_as
def login(person: str | None) -> None:
    """Print a link that logs a browser in, once, within ten minutes: as you, or as NAME."""
    url, name = _url(), _person(person)
    code = _access().code(person=name)
    click.echo(f"{url}/login?code={code}")


@web.command()
@_as
@click.option("--renew", is_flag=True, help="Make a new one: all sessions and programs with the old one are out.")
def token(person: str | None, renew: bool) -> None:
    """Print the token that programs send as `Authorization: Bearer TOKEN`: yours, or that of NAME."""
    access, name = _access(), _person(person)
    if renew:
        access.renew(name)
    click.echo(access.token_of(name))


def _person(name: str | None) -> str:
    """Raises BadInput."""
    people = home.settings().people
    if name is not None and name not in people:
        known = ", ".join(people) or "nobody"
        raise BadInput(problem=f"Nobody is called {name!r} in [people] of config.toml. Known: {known}.")
    return name or ""


def _access() -> Access:
    return Access(home.state_folder(), float(home.settings().web.session))


def _url() -> str:
    """Where people reach it. Raises BadInput where it is not served."""
    from overnight.web_process import served

    found = served(home.state_folder())
    if found is None:
        raise BadInput(
            problem="Nobody serves the dashboard now. `overnight up` does, unless `web.on` is false; or `overnight web`."
        )
    return (home.settings().web.url or found.url).rstrip("/")


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
