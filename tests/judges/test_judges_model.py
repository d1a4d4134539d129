"""One judge, for real: its own process, the vendor's own client, the gateway; only the model is scripted."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from judges_lab import EVIDENCE, KEYS, MODELS, VERDICT, ask, asked, playing_each, says, settings_of

from overnight.agents.scripted import Cut, Fail, Garble, Reply, Say, Stall, playing
from overnight.agents.scripted.script import Step
from overnight.config import parse_settings
from overnight.judge.evidence import INSTRUCTIONS
from overnight.judge.verdict import Outside, Word
from overnight.judges.errand import TOKEN
from overnight.judges.model import MOST_SAID
from overnight.missions.money import Allowance, Bill
from overnight.wiring import judges_for

KEYED = {"anthropic": "x-api-key", "openai": "authorization", "gemini": "x-goog-api-key", "compatible": "authorization"}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_gives_a_verdict(name: str) -> None:
    """The vendor's client asks once, for a verdict of our form, and its cost is what the price list says."""
    found = ask(name, says(confidence=0.8))
    assert found.answer.said is not None, found.answer.why
    assert (found.answer.said.verdict, found.answer.said.confidence) == (Word.PASS, 0.8)
    (request,) = found.requests
    sent = json.dumps(request.body, ensure_ascii=False)
    assert json.dumps(EVIDENCE, ensure_ascii=False) in sent
    assert json.dumps(INSTRUCTIONS, ensure_ascii=False) in sent
    assert '"NEEDS_HUMAN"' in sent  # the form of a verdict
    assert found.bill.unknown == 0
    assert found.bill.tokens.total == 1550
    assert found.worst.usd is not None
    assert found.bill.cost is not None
    if name == "local":
        assert (found.bill.paid, found.bill.cost, found.worst.usd) == (False, 0, 0)
    else:
        assert 0 < found.bill.cost < found.worst.usd <= 1
        assert "key-" in request.headers[KEYED[name]]


def test_without_structure_a_server_is_only_told_the_form() -> None:
    """`structured = false` leaves the schema out, for servers that refuse one."""
    found = ask("local", says(), structured="false")
    assert found.answer.said is not None
    assert "response_format" not in found.requests[0].body


NONE = [
    pytest.param([Say("I think it is fine.")] * 2, "not the JSON object", id="prose"),
    pytest.param([Say(f"Here you are: {json.dumps(VERDICT)}")] * 2, "not the JSON object", id="prose around it"),
    pytest.param([Say(json.dumps(VERDICT)[:-9])] * 2, "not the JSON object", id="cut JSON"),
    pytest.param([Say("")] * 2, "not the JSON object", id="empty"),
    pytest.param([Say('{"verdict": "FAIL", ' + json.dumps(VERDICT)[1:])] * 2, "stands in it twice", id="key twice"),
    pytest.param([says(extra=1)] * 2, "not the JSON object", id="unknown key"),
    pytest.param([says(confidence=7)] * 2, "not the JSON object", id="out of range"),
    pytest.param([says(blocking=["x"])] * 2, "says PASS and names blocking", id="contradicts itself"),
    pytest.param([Garble("<html>sorry</html>")] * 2, "", id="no protocol"),
    pytest.param([Cut()] * 2, "Connection", id="broken off"),
    pytest.param([Fail(529, headers={"retry-after": "0"})] * 2, "HTTP 529", id="overloaded"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "why"), NONE)
def test_an_answer_that_can_not_be_used_is_none(steps: list[Step], why: str) -> None:
    """It is asked once more, and then there is no verdict but a reason."""
    found = ask("local", *steps, says())
    assert found.answer.said is None
    assert why in found.answer.why
    assert len(found.requests) == 2


@pytest.mark.parametrize(
    ("name", "stop", "why"),
    [
        ("anthropic", "refusal", "refused"),
        ("anthropic", "max_tokens", "did not come to its end"),
        ("openai", "refusal", "refused"),
        ("openai", "max_output_tokens", "did not come to its end"),
        ("gemini", "SAFETY", "refused"),
        ("gemini", "BLOCKED", "refused"),
        ("gemini", "MAX_TOKENS", "did not come to its end"),
        ("compatible", "length", "did not come to its end"),
    ],
)
def test_an_answer_counts_only_when_it_came_to_its_end(name: str, stop: str, why: str) -> None:
    """A whole PASS in an answer that the vendor says was cut, or refused, is no verdict; what it cost counts."""
    found = ask(name, *[Reply((says(),), stop=stop)] * 2)
    assert found.answer.said is None
    assert why in found.answer.why
    assert found.bill.cost


def test_a_second_try_may_do_better() -> None:
    """One bad answer is forgiven, and paid for."""
    found = ask("openai", Say("Hm."), says(verdict="FAIL", blocking=["it loses data"]))
    assert found.answer.said is not None
    assert found.answer.said.verdict is Word.FAIL
    assert found.bill.tokens.total == 3100


def test_what_another_try_can_not_mend_is_not_tried_again() -> None:
    """A wrong key is said at once."""
    found = ask("anthropic", Fail(401, "invalid x-api-key"), says())
    assert "HTTP 401" in found.answer.why
    assert len(found.requests) == 1


@pytest.mark.parametrize("name", ["anthropic", "openai", "compatible", "local"])
def test_a_limit_for_long_is_told_and_not_tried_again(name: str) -> None:
    """The vendor names an hour: whoever asked is told that it is a limit, and when, and the second try is kept for then."""
    found = ask(name, Fail(429, "slow down", headers={"retry-after": "3600"}), says())
    assert (found.answer.said, found.answer.outside, found.answer.after) == (None, Outside.LIMIT, 3600.0)
    assert len(found.requests) == 1


def test_an_outage_is_told_after_both_tries() -> None:
    """So that the result waits for the judge, and not for a person."""
    found = ask("anthropic", Fail(503, "down", headers={"retry-after": "0"}, times=2), says())
    assert (found.answer.outside, len(found.requests)) == (Outside.VENDOR, 2)


def test_what_the_judge_does_itself_is_nothing_outside() -> None:
    """A wrong key and an answer that can't be read are for a person."""
    assert ask("anthropic", Fail(401, "invalid x-api-key")).answer.outside is None
    assert ask("openai", Say("Hm."), Say("Hm.")).answer.outside is None


def test_a_dead_server_is_no_verdict() -> None:
    """Nobody listens there: no verdict, and no cost."""

    async def story() -> tuple[str, Bill]:
        async with playing(playing_each({"local": ()})) as (url, _):
            pass
        (judge,) = judges_for(parse_settings(settings_of(url, ("local",)).encode(), "c"), {})
        bills = list[Bill]()
        answer = await judge.ask(EVIDENCE, await judge.worst(EVIDENCE), bills.append)
        assert answer.said is None
        assert answer.outside is Outside.VENDOR
        return answer.why, bills[-1]

    why, bill = asyncio.run(story())
    assert "can't be reached" in why
    assert bill.tokens.total == 0


def test_no_key_is_no_verdict() -> None:
    """The variable is named; nothing is sent and nothing counts."""
    found = ask("gemini", says(), keys={})
    assert found.answer.why == "GEMINI_API_KEY: it is not set. Set it to the API key."
    assert (found.requests, found.bill.cost) == ([], 0)


def test_a_slow_judge_is_ended() -> None:
    """An answer that does not come in time is no verdict, and is asked for no second time."""
    found = ask("openai", Stall("never", says()), limit='"3s"')
    assert found.answer.why == "no answer within 3s"
    assert len(found.requests) <= 1


def test_over_its_allowance_nothing_is_sent() -> None:
    """The gateway refuses the request that the allowance might not pay for."""
    found = ask("openai", says(), allowance=Allowance(usd=Decimal("0.01"), tokens=10**9))
    assert "the allowance of 0.0100 USD is spent" in found.answer.why
    assert (found.requests, found.bill.cost) == ([], 0)


def test_no_second_try_that_the_allowance_does_not_pay_for() -> None:
    """The first is paid and bad, the second would exceed what was set aside."""
    once = ask("openai", says()).worst.usd
    assert once is not None
    found = ask("openai", Say("Hm."), says(), allowance=Allowance(usd=once / 2, tokens=10**9))
    assert "the allowance" in found.answer.why
    assert len(found.requests) == 1


def test_a_model_without_a_price_is_bounded_by_the_dearest_and_not_known_to_cost_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its cost is not known, which is not zero."""
    monkeypatch.setitem(MODELS, "openai", "unheard-of")
    found = ask("openai", says(), allowance=Allowance(usd=Decimal(100)))
    assert found.answer.said is not None
    assert (found.bill.cost, found.bill.unpriced) == (None, ("unheard-of",))
    assert found.worst.usd == 1


def test_another_vendors_model_without_a_price_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says what it may cost, not even a dearest price: it needs one in the settings."""
    monkeypatch.setitem(MODELS, "compatible", "unheard-of")
    found = ask("compatible", says())
    assert "no known price" in found.answer.why
    assert found.requests == []


# -- the process itself -------------------------------------------------------------------------------------

SPY = """
import json, os, sys
given = sys.stdin.buffer.read()
told = {"argv": sys.argv[1:], "env": dict(os.environ), "stdin": given.decode(), "cwd": os.getcwd(),
        "files": sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{n}") or True and n in "012")}
open(PLACE, "w").write(json.dumps(told))
"""


def test_its_process_is_given_the_evidence_and_nothing_else(tmp_path: Path) -> None:
    """Standard input is the evidence, byte for byte; no key, no path of ours, no word of the transcript is anywhere."""
    told, script = tmp_path / "told.json", tmp_path / "spy.py"
    script.write_text(f"PLACE = {str(told)!r}\n{SPY}")
    os.environ["OVERNIGHT_TRANSCRIPT"] = "the agent says that all is well"
    try:
        ask("openai", says(), command=(sys.executable, str(script)))
    finally:
        del os.environ["OVERNIGHT_TRANSCRIPT"]
    seen = json.loads(told.read_text())
    assert seen["stdin"] == EVIDENCE
    assert seen["cwd"] == "/"
    assert set(seen["env"]) <= {TOKEN, "LC_ALL", "HOME", "LC_CTYPE"}
    assert len(seen["argv"]) == 1
    assert set(json.loads(seen["argv"][0])) == {"kind", "model", "address", "output", "structured", "limit"}
    assert not any(key in json.dumps(seen) for key in KEYS.values())
    assert all(each in ("pipe", "/proc/self/fd") or each.startswith("/proc/") for each in seen["files"])


def program(tmp_path: Path, body: str) -> tuple[str, str]:
    """A judge's process that does something else."""
    script = tmp_path / "program.py"
    script.write_text(body)
    return sys.executable, str(script)


def test_a_flood_is_ended(tmp_path: Path) -> None:
    """Its output is bounded."""
    found = ask("local", command=program(tmp_path, "import sys\nwhile True: sys.stdout.write('x' * 65536)\n"))
    assert found.answer.why == f"it printed more than {MOST_SAID} bytes"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os\nos.kill(os.getpid(), 9)\n", "its process ended with code -9"),
        ("raise SystemExit('no such thing')\n", "its process ended with code 1: no such thing"),
        ("print('{}')\n", "its process ended with code 0"),
        ("print('\\xff')\n", "its process ended with code 0"),
    ],
)
def test_a_process_that_dies_is_no_verdict(tmp_path: Path, body: str, why: str) -> None:
    """Killed, crashed or babbling: no verdict, with what it said last."""
    assert why in ask("local", command=program(tmp_path, body)).answer.why


def ended(pid: int) -> bool:
    """Whether a process comes to its end, without anybody asking it to."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 30)[0])
    finally:
        os.close(process)


def test_a_slow_process_is_killed_as_a_tree(tmp_path: Path) -> None:
    """What it started dies with it, although it ignores every signal that can be ignored."""
    pids = tmp_path / "pids"
    body = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
    found = ask("local", command=program(tmp_path, body), limit='"5s"')
    assert found.answer.why == "no answer within 5s"
    assert all(ended(int(pid)) for pid in pids.read_text().split())


def test_a_cancelled_judge_dies_and_is_counted() -> None:
    """A person who cancels the task does not wait for it; what it may have cost at most is told."""

    async def story() -> list[Bill]:
        async with playing(playing_each({"openai": (Stall("here", says()),)})) as (url, model):
            (judge,) = judges_for(parse_settings(settings_of(url, ("openai",)).encode(), "c"), KEYS)
            bills = list[Bill]()
            asking = asyncio.create_task(judge.ask(EVIDENCE, await judge.worst(EVIDENCE), bills.append))
            await model.reached("here")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            return bills

    last = asyncio.run(story())[-1]
    assert (last.cost, last.pending > 0) == (0, True)


def test_the_lab_asks_for_real() -> None:
    """Another answer is another verdict: nothing here is written down beforehand."""
    found = asyncio.run(asked("local", says(verdict="NEEDS_HUMAN", gaps=["no test"])))
    assert found.answer.said is not None
    assert (found.answer.said.verdict, found.answer.said.gaps) == (Word.NEEDS_HUMAN, ("no test",))
