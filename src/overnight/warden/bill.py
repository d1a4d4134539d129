"""The bill of a run whose warden could not write it: read off the record of the run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from overnight.missions.money import Bill, ModelUse
from overnight.missions.tokens import Tokens
from overnight.warden.account import nothing
from overnight.warden.events import Asking, Launched, Metered, read_events


def read_bill(folder: Path) -> Bill:
    """What the record says: calls that are over, and by their worst case those that nobody saw the end of.

    A run that was never launched used nothing. Raises OSError.
    """
    route, under_way, over = "", dict[int, Asking](), list[Metered]()
    for event in read_events(folder / "events.ndjson"):
        match event:
            case Launched():
                route = event.route
            case Asking():
                under_way[event.n] = event
            case Metered(lost=False):
                under_way.pop(event.n, None)
                over.append(event)
            case _:
                pass
    if not route and not under_way:
        return nothing()
    return _bill(route or "gateway", over, list(under_way.values()))


def _bill(route: str, over: list[Metered], open_ones: list[Asking]) -> Bill:
    answered = [event for event in over if not event.error]
    # Of two accounts of one answer the larger one counts, as it did while the run went on.
    by_id: dict[str, Metered] = {}
    for event in answered:
        key = event.id or f"call {event.n}"
        if not event.unknown and (key not in by_id or event.tokens.total >= by_id[key].tokens.total):
            by_id[key] = event
    models: dict[str, ModelUse] = {}
    for event in by_id.values():
        had = models.get(event.model) or ModelUse(model=event.model, calls=0, tokens=Tokens(), cost=Decimal(0))
        cost = None if had.cost is None or event.cost is None else had.cost + Decimal(event.cost)
        models[event.model] = ModelUse(
            model=event.model, calls=had.calls + 1, tokens=had.tokens + event.tokens, cost=cost
        )
    unpriced = tuple(name for name, use in models.items() if use.cost is None)
    known = [use.cost for use in models.values() if use.cost is not None]
    return Bill(
        route=route, source="none" if route == "direct" else "wire", paid=route == "gateway",
        models=tuple(models.values()), cost=None if unpriced or route == "direct" else sum(known, Decimal(0)), unpriced=unpriced,
        partial=sum(event.partial for event in answered),
        unknown=sum(event.unknown for event in answered) + sum(asking.most is None for asking in open_ones),
        pending=sum((Decimal(asking.most) for asking in open_ones if asking.most is not None), Decimal(0)),
    )  # fmt: skip
