"""The holds of a forge, worded for a person who finds one in the morning."""

from __future__ import annotations

from overnight.missions.hold import Held, Hold, HoldReason

#: Seconds until a forge that does not answer is asked again, and one that fails.
LOST, OUTAGE = 60.0, 120.0


def limit(why: str, until: float) -> Held:
    """No more requests before a time, epoch seconds."""
    hold = Hold(reason=HoldReason.LIMIT_REACHED, why=why, releases_on="the forge's own limit passes", until=until)
    return Held(hold)


def outage(why: str, now: float) -> Held:
    """The forge fails."""
    hold = Hold(reason=HoldReason.VENDOR_OUTAGE, why=why, releases_on="the forge works again", until=now + OUTAGE)
    return Held(hold)


def lost(why: str, now: float) -> Held:
    """Nothing answers."""
    hold = Hold(reason=HoldReason.NETWORK_LOST, why=why, releases_on="the forge answers again", until=now + LOST)
    return Held(hold)


def auth(why: str, variable: str) -> Held:
    """The token is missing, expired or revoked."""
    how = f"a token in {variable} that works, and the daemon started with it"
    return Held(Hold(reason=HoldReason.AUTH_EXPIRED, why=why, releases_on=how))


def unfit(why: str) -> Held:
    """The forge refuses what it should take: a person must look."""
    return Held(
        Hold(reason=HoldReason.FORGE_REFUSED, why=why, releases_on="`overnight resume TASK` once that is mended")
    )
