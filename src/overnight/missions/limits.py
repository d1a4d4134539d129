"""What a run sees of its model's service: how much of the vendor's limits is used, and whether it answers at all."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Trouble(StrEnum):
    """What kept a run from its model: finer than the class of the failure, since each passes in another way."""

    #: A subscription's window is used up. It begins anew at a known time.
    WINDOW = "window"
    #: Too many requests or tokens in a short time (429).
    RATE = "rate"
    #: The service has too much to do (529).
    OVERLOADED = "overloaded"
    #: The service fails (5xx), or its answers are broken.
    OUTAGE = "outage"
    #: Nothing answers at the service's address.
    NETWORK = "network"
    #: A window is used as far as the machine's settings let runs use it.
    CEILING = "ceiling"


class Window(Struct, frozen=True, kw_only=True):
    """One of the vendor's limits, as somebody told it. None is unknown, and unknown is never zero."""

    #: `five-hour`, `seven-day` and `seven-day-MODEL` are a subscription's; `requests`, `tokens`, `input-tokens` and
    #: `output-tokens` are those of a key, of a minute or so.
    name: str
    #: The part that is used, 0 to 1; a vendor may let it exceed 1.
    used: float | None = None
    #: Epoch seconds at which it begins anew.
    resets: float | None = None
    #: In the vendor's words: allowed, allowed_warning or rejected; empty where it says none.
    status: str = ""
    #: Who said so: `stream` (the agent's own output) or `headers` (of the model's answers).
    source: str = ""
    #: Epoch seconds at which it was said.
    seen: float = 0.0

    @property
    def subscribed(self) -> bool:
        """It is a subscription's, which a person shares with the runs."""
        return self.name == "five-hour" or self.name.startswith("seven-day")

    @property
    def rejects(self) -> bool:
        """It is used up, and says so."""
        return self.status == "rejected"


class Contact(Struct, frozen=True, kw_only=True):
    """What one run saw of its model's service so far."""

    #: Whose limits they are: the agent and its route, such as `claude direct`; empty when the run never got so far.
    account: str = ""
    #: The agent's session, by the agent's own name for it.
    session: str | None = None
    windows: tuple[Window, ...] = ()
    #: Epoch seconds of the last answer of the model; None when there was none.
    answered: float | None = None
    #: How often the service failed (5xx, or nothing answered) within 15 minutes before its last failure.
    strikes: int = 0
    #: Epoch seconds before which the service does not want to be asked again.
    retry_at: float | None = None
