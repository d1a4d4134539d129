"""What a process tells the service manager that started it, by systemd's protocol: a line in a datagram."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from overnight.service.plan import KEEPER


class Teller:
    """Tells that it is ready, lives and ends; nothing where nobody asked for it."""

    def __init__(self, address: str = "", keeper: str = "") -> None:
        """address: a socket's path; with `@` first, one in the abstract namespace. keeper: who starts it again."""
        self.keeper = keeper
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Teller:
        """Out of the environment, so that no child tells in our name."""
        address = environ.pop("NOTIFY_SOCKET", "")
        meant = environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        environ.pop("WATCHDOG_USEC", None)
        heard = address[:1] in ("/", "@") and meant == str(os.getpid())
        return cls(address if heard else "", environ.pop(KEEPER, ""))

    def ready(self) -> None:
        """It does its work from now on."""
        self._say(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=Carries tasks.")

    def alive(self) -> None:
        """It turns."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """It was asked to end."""
        self._say("STOPPING=1\nSTATUS=Ends; runs under way go on.")

    def _say(self, words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError):  # a manager that went away, or does not listen, stops nobody
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.sendto(words.encode(), self._address)
