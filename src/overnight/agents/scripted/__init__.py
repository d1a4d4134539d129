"""A model that answers from a script, on loopback: the demo and the tests run the real agent CLIs against it."""

from overnight.agents.scripted.script import (
    Cut,
    Fail,
    Garble,
    Play,
    Reply,
    Say,
    Scenario,
    Script,
    Stall,
    Think,
    Use,
    dump,
    load,
    play,
)
from overnight.agents.scripted.server import Record, ScriptedModel, playing

__all__ = [
    "Cut",
    "Fail",
    "Garble",
    "Play",
    "Record",
    "Reply",
    "Say",
    "Scenario",
    "Script",
    "ScriptedModel",
    "Stall",
    "Think",
    "Use",
    "dump",
    "load",
    "play",
    "playing",
]
