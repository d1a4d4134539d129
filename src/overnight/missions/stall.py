"""What counts as a run that gets nowhere, or goes too far: the thresholds that a repo may set."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions.units import Duration


class StallLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an agent is told that it goes in circles, and when its run is ended for it.

    A pattern is told to the agent at its threshold and ends the run at twice that. A limit is told at four fifths
    and ends the run when it is passed. Changes to files in between begin a pattern anew.
    """

    #: Limit: tool calls of one run.
    steps: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    #: Limit: tokens that go to the model and come from it in one run, cached ones too, where the agent tells them.
    tokens: Annotated[int, Meta(ge=1, le=10**12)] = 200_000_000
    #: Pattern: the same class of error so many times.
    errors: Annotated[int, Meta(ge=2, le=10_000)] = 3
    #: Pattern: the same call with the same arguments more often than this within `window`.
    repeats: Annotated[int, Meta(ge=1, le=10_000)] = 5
    #: See `repeats`.
    window: Duration = Duration(600)
    #: Pattern: so many messages in a row that say what one of the last few has said.
    messages: Annotated[int, Meta(ge=2, le=10_000)] = 4
    #: Pattern: so many looks in a row that find no new progress: no larger change, no more boxes ticked, no more
    #: checks passing.
    looks: Annotated[int, Meta(ge=1, le=10_000)] = 6
    #: Such a look comes after so many tool calls.
    look_calls: Annotated[int, Meta(ge=1, le=10_000)] = 10
    #: The same for an agent whose calls nobody sees: it comes after this time.
    look_every: Duration = Duration(600)
    #: Pattern: more tool calls than this within a minute.
    pace: Annotated[int, Meta(ge=1, le=100_000)] = 60
    #: Pattern: more files than this changed in one step. The second such step ends the run.
    files: Annotated[int, Meta(ge=1, le=10_000_000)] = 100
    #: Limit: wall clock in percent of the task's estimate, if it has one. It is told when the estimate is up.
    overrun: Annotated[int, Meta(ge=100, le=10_000)] = 120
