"""`ModelJudge`: one model, asked in a process of its own, over a gateway that holds the key and counts."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from overnight.errors import OvernightError
from overnight.judge import verdict
from overnight.judge.evidence import INSTRUCTIONS
from overnight.judges.errand import TOKEN, Errand, Heard, Said, Trouble
from overnight.judges.panel import Answer
from overnight.judges.process import Ended, converse
from overnight.judges.settings import ANY_MODEL, JudgeSettings, family_of
from overnight.missions.money import Allowance, Bill
from overnight.ports import Opened, Way

#: What starts a judge's process. -P: nothing is imported from the folder that it is started in.
ASKER = (sys.executable, "-P", "-m", "overnight.judges.asker")
#: Bytes that it may print.
MOST_SAID = 256 << 10
#: A judge is asked once more, and no more often.
TRIES = 2
#: Seconds between the two at most: whoever asks for more is asked again when the task is.
MOST_WAIT_S = 30.0
#: What a verdict cost that nobody was asked for yet.
_NOTHING = Bill(route="none", source="wire", paid=False, cost=Decimal(0))
#: Bytes of a request around the evidence: the form of a verdict, names, headers.
_AROUND = 4096


class ModelJudge:
    """Port `Judge` of the panel."""

    def __init__(self, name: str, settings: JudgeSettings, way: Way, command: Sequence[str] = ASKER) -> None:
        """command: starts the process when the errand is appended."""
        self.name, self.family, self.model = name, family_of(settings), settings.model or ANY_MODEL
        self.paid = way.paid
        self._settings, self.way, self._command = settings, way, tuple(command)

    async def worst(self, text: str) -> Allowance:
        """What a verdict on this text may take at most: both tries, or what the settings allow."""
        size = len(msgspec.json.encode(INSTRUCTIONS + text)) + _AROUND
        once, most = await self.way.worst(size, self._settings.output), Decimal(self._settings.allowance)
        if once is None:  # nothing says what it may cost
            return Allowance(usd=most, tokens=TRIES * (size + self._settings.output))
        return Allowance(
            usd=min(TRIES * once.usd, most), tokens=TRIES * once.tokens, because=f"judges.{self.name}.allowance"
        )

    async def ask(self, text: str, allowance: Allowance, told: Callable[[Bill], None]) -> Answer:
        """See the protocol."""
        told(_NOTHING)
        try:
            async with self.way.open(allowance) as opened:
                try:
                    return await self._verdict(text, opened)
                finally:
                    told(opened.bill())
        except (OvernightError, OSError) as error:
            return Answer(said=None, why=str(error))

    async def _verdict(self, text: str, opened: Opened) -> Answer:
        until, whys, trouble = time.monotonic() + self._settings.limit, list[str](), Trouble(why="")
        for _ in range(TRIES):
            heard = await self._heard(text, opened, until - time.monotonic())
            match heard:
                case Heard(text=answer):
                    try:
                        return Answer(said=verdict.understand(answer))
                    except ValueError as error:
                        trouble = Trouble(why=str(error), again=True)
                case Trouble() as trouble:
                    pass
            whys.append(opened.spent() or trouble.why)
            late = trouble.after > MOST_WAIT_S or time.monotonic() + trouble.after >= until
            if not trouble.again or opened.spent() or late:
                break
            await asyncio.sleep(trouble.after)
        why, outside = "; then: ".join(dict.fromkeys(whys)), None if opened.spent() else trouble.outside
        return Answer(said=None, why=why, outside=outside, after=trouble.after)

    async def _heard(self, text: str, opened: Opened, limit: float) -> Said:
        """What it says to one asking. limit: seconds."""
        settings = self._settings
        errand = Errand(
            kind=settings.kind, model=settings.model, address=opened.address, output=settings.output,
            structured=settings.structured, limit=limit,
        )  # fmt: skip
        env = {"LC_ALL": "C.UTF-8", "HOME": "/nonexistent", TOKEN: opened.token}
        argv = (*self._command, msgspec.json.encode(errand).decode())
        return _said(await converse(argv, env, text.encode(), limit, MOST_SAID), settings)


def _said(ended: Ended, settings: JudgeSettings) -> Said:
    """What its process said. One that said nothing sensible is asked once more; one that was slow is not."""
    if ended.slow:
        return Trouble(why=f"no answer within {settings.limit}")
    if ended.flooded:
        return Trouble(why=f"it printed more than {MOST_SAID} bytes", again=True)
    try:
        return msgspec.json.decode(ended.out, type=Said)
    except (msgspec.MsgspecError, UnicodeError):
        last = ended.err.splitlines()[-1][:300] if ended.err else "it said nothing"
        return Trouble(why=f"its process ended with code {ended.code}: {last}", again=True)
