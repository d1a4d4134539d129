"""The entry: a call, a policy, the bounds and the world go in; a verdict comes out. Always one, never none."""

from __future__ import annotations

from msgspec import Struct

from overnight.guard.content import has_secret
from overnight.guard.effects import AnyEffect
from overnight.guard.envelope import SIZE, Malformed, check
from overnight.guard.judgement import Finding, denied
from overnight.guard.ledger import Ledger
from overnight.guard.machine import Budget, Machine
from overnight.guard.policy import GuardPolicy, strictness
from overnight.guard.rules import Rules
from overnight.guard.rules_files import Files
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.text import known
from overnight.guard.tools import effects_of, fields, written_code
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.guard.world import Bounds, World


class Assessment(Struct, frozen=True, kw_only=True):
    """A verdict with everything it stands on."""

    verdict: Verdict
    #: Every effect that was found, in order.
    effects: tuple[AnyEffect, ...]
    #: Every rule that spoke against it, and what was worth a note.
    findings: tuple[Finding, ...]
    #: The ledger once this verdict has taken effect: files written when it is allowed, one more denial when not.
    ledger: Ledger
    #: The finding that decided; None when allowed.
    deciding: Finding | None = None
    #: Names the denied effect, for counting retries; empty when allowed.
    fingerprint: str = ""


def decide(call: Call, policy: GuardPolicy, bounds: Bounds, world: World, ledger: Ledger) -> Verdict:
    """The verdict on one tool call."""
    return assess(call, policy, bounds, world, ledger).verdict


def assess(
    call: Call, policy: GuardPolicy, bounds: Bounds, world: World, ledger: Ledger, budget: Budget | None = None
) -> Assessment:
    """The verdict on one tool call, its effects, and the ledger as it is afterwards."""
    machine = Machine(bounds, world, ledger, policy.secrets, budget)
    findings: list[Finding] = []
    try:
        check(call.input, code=fields(call.tool))
        found = effects_of(call, policy, machine)
        if found is not None:
            findings.append(found)
        written_code(call, machine)
    except Malformed as problem:
        findings.append(denied("envelope", str(problem), ()))
    except (SyntaxProblem, RecursionError) as problem:
        reason = str(problem) if isinstance(problem, SyntaxProblem) else "it nests deeper than can be checked"
        findings.append(denied("unverifiable", reason, ()))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as fault:
        # A model that stumbles must not open the door: what it did not finish reading is denied.
        findings.append(denied("guard.fault", f"the guard could not read this ({type(fault).__name__})", ()))
    rules = Rules(policy, Files(policy, bounds, world))
    findings += [finding for effect in machine.effects if (finding := rules.judge(effect)) is not None]
    command = call.input.get("command")
    if isinstance(command, str) and len(command) <= SIZE and has_secret(command, policy.secret_patterns):
        findings.append(denied("content.secret", "the command holds a credential in the clear", ()))
    return _concluded(findings, machine, ledger)


def _concluded(findings: list[Finding], machine: Machine, ledger: Ledger) -> Assessment:
    effects = tuple(machine.effects)
    worst = max(findings, key=lambda finding: strictness(finding.decision), default=None)
    if worst is None or worst.decision is Decision.ALLOW:
        for path, text in machine.written.items():
            ledger = ledger.wrote(path, str(text) if known(text) else None, text.taint)
        kinds = sorted({str(effect.__struct_config__.tag) for effect in effects})
        reason = f"every effect is known and permitted: {', '.join(kinds)}" if kinds else "it changes nothing"
        notes = dict.fromkeys(finding.reason for finding in findings)
        reason = "; ".join((reason, *notes))
        verdict = Verdict(decision=Decision.ALLOW, rule="permitted", reason=reason)
        return Assessment(verdict=verdict, effects=effects, findings=tuple(findings), ledger=ledger)
    fingerprint = f"{worst.rule}:{worst.reason}"
    again = ledger.times(fingerprint)
    reason = worst.reason + (
        f" (tried {again + 1} times: do not try it again, do the task another way)" if again else ""
    )
    verdict = Verdict(decision=worst.decision, rule=worst.rule, reason=reason, words=worst.words)
    return Assessment(
        verdict=verdict,
        effects=effects,
        findings=tuple(findings),
        ledger=ledger.denied(fingerprint),
        deciding=worst,
        fingerprint=fingerprint,
    )
