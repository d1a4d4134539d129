"""What the machine's owner says of pages and API."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from overnight.missions.units import Duration


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dashboard and the HTTP API."""

    #: The daemon serves them, in a process of its own. The environment's `OVERNIGHT_WEB=off` goes before it.
    on: bool = True
    #: The address that is listened on: an IP address of this machine. Any but a loopback one lets others in who have
    #: the token.
    address: str = "127.0.0.1"
    #: The port; 0 takes a free one, which `overnight web login` knows.
    port: Annotated[int, Meta(ge=0, le=65535)] = 8477
    #: Names by which browsers may call it, besides `localhost` and IP addresses: those of a proxy in front of it.
    hosts: tuple[str, ...] = ()
    #: Where people's phones reach it, such as `"https://night.example.org"`: messages then carry a signed link. None without.
    url: str | None = None
    #: How long a browser stays logged in.
    session: Duration = Duration(30 * 86400)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which it may be called."""
        name = urlsplit(self.url).hostname if self.url else None
        return (*self.hosts, name) if name else self.hosts
