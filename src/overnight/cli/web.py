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


@web.command()
def login() -> None:
    """Print a link that logs a browser in, once, within ten minutes."""
    url = _url()
    code = _access().code()
    click.echo(f"{url}/login?code={code}")


@web.command()
@click.option("--renew", is_flag=True, help="Make a new one: all sessions and programs with the old one are out.")
def token(renew: bool) -> None:
    """Print the token that programs send as `Authorization: Bearer TOKEN`."""
    access = _access()
    if renew:
        access.renew()
    click.echo(access.token)


def _access() -> Access:
    return Access(home.state_folder(), float(home.settings().web.session))


def _url() -> str:
    """Where it is served. Raises BadInput where it is not."""
    from overnight.web_process import served

    found = served(home.state_folder())
    if found is None:
        raise BadInput(
            problem="Nobody serves the dashboard now. `overnight up` does, unless `web.on` is false; or `overnight web`."
        )
    return found.url


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
