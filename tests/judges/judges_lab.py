"""What the tests of judges share: real judges of every kind, whose vendors are one scripted server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from overnight.agents.scripted import Play, Record, Say, Scenario, Script, playing
from overnight.agents.scripted.script import Step
from overnight.config import parse_settings
from overnight.judges.model import ASKER, ModelJudge
from overnight.judges.panel import Answer
from overnight.missions.money import Allowance, Bill
from overnight.wiring import judges_for

KEYS = {
    "ANTHROPIC_API_KEY": "key-of-a",
    "OPENAI_API_KEY": "key-of-o",
    "GEMINI_API_KEY": "key-of-g",
    "ACME_KEY": "key-c",
}
#: One judge of each kind, by its name; models that the price list knows where anybody bills them.
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-5",
    "gemini": "gemini-2.5-pro",
    "compatible": "gpt-4o",
    "local": "llama",
}
VERDICT: dict[str, object] = {
    "verdict": "PASS",
    "confidence": 0.9,
    "blocking": [],
    "other": [],
    "gaps": [],
    "injection": False,
}
EVIDENCE = "# Evidence\n\nThe change adds `ü`.\n"


def says(**changed: object) -> Say:
    """A verdict as a model writes it."""
    return Say(json.dumps(VERDICT | changed))


def settings_of(url: str, names: Sequence[str] = tuple(MODELS), **more: str) -> str:
    """`config.toml` with a judge of each of these kinds, named after it. more: keys and raw values for each."""
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    own = {"compatible": 'family = "openai"\nkey_variable = "ACME_KEY"\n', "local": 'family = "meta"\n'}
    base = {"anthropic": url, "gemini": url}
    return "".join(
        f'[judges.{name}]\nkind = "{name}"\nmodel = "{MODELS[name]}"\naddress = "{base.get(name, f"{url}/v1")}"\n'
        f"{own.get(name, '')}{extra}"
        for name in names
    )


def playing_each(*results: dict[str, Sequence[Step]]) -> Play:
    """What each kind's model says, in order, of the first result, of the second one ..."""
    return Play(
        tuple(
            Scenario(tuple(Script(tuple(result[name])) for result in results), model=MODELS[name])
            for name in results[0]
        )
    )


@dataclass
class Asked:
    """What became of one asking."""

    answer: Answer
    worst: Allowance
    #: Everything that was told of its cost, in order.
    bills: list[Bill] = field(default_factory=list[Bill])
    #: What the vendor got.
    requests: list[Record] = field(default_factory=list[Record])

    @property
    def bill(self) -> Bill:
        """What counts."""
        return self.bills[-1]


async def asked(
    name: str,
    *steps: Step,
    text: str = EVIDENCE,
    allowance: Allowance | None = None,
    keys: dict[str, str] = KEYS,
    command: Sequence[str] = ASKER,
    **more: str,
) -> Asked:
    """Ask one real judge whose model says these things."""
    async with playing(playing_each({name: steps})) as (url, model):
        settings = parse_settings(settings_of(url, (name,), **more).encode(), "config.toml")
        (judge,) = judges_for(settings, keys)
        judge = ModelJudge(judge.name, settings.judges[name], judge.way, command)
        worst, bills = await judge.worst(text), list[Bill]()
        answer = await judge.ask(text, allowance or worst, bills.append)
        return Asked(answer, worst, bills, model.asked)


def ask(name: str, *steps: Step, **more: object) -> Asked:
    """The same from a test."""
    return asyncio.run(asked(name, *steps, **more))  # type: ignore[arg-type]
