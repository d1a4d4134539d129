"""What a person is told of a call that was stopped: the exact lines that would allow it, and the question to file."""

from __future__ import annotations

import hashlib
import json

from msgspec import Struct

from overnight.guard.decide import Assessment
from overnight.guard.explain import effect_line
from overnight.guard.judgement import Finding
from overnight.guard.policy import BOX, DEFAULTS, NOTHING, REPO, USER, Layers, value_of
from overnight.guard.redact import redacted, sanitised
from overnight.missions.question import Question

#: Characters of a call and of an effect in a question, and effects in it.
_SHORT, _LINE, _EFFECTS = 500, 200, 8
KEEP, ALLOW = "keep it denied", "allow it from now on, by the lines above"


class Way(Struct, frozen=True, kw_only=True):
    """What would have to change for a finding not to stop a call."""

    #: File to change; empty when nothing lifts it.
    where: str
    #: Lines of TOML; empty when what is there has to be taken out or changed.
    toml: str = ""
    #: For a person.
    note: str = ""


def way(finding: Finding, layers: Layers, attended: bool) -> Way:
    """How a person allows what the finding stops."""
    if finding.floor or not finding.knob:
        return Way(where="", note="no policy can lift this")
    knob = finding.knob
    layer = layers.layer(knob)
    if layer == REPO or (layer == USER and knob == "rules"):
        where = f"{REPO}, on the target branch" if layer == REPO else USER
        return Way(where=where, note=f"change {_told(knob, finding)} there")
    if layer == BOX:
        host = json.dumps(finding.subject)
        toml = f"[bounds]\negress = [{host}]  # and in {REPO}: [box] egress = [{host}]"
        return Way(where=USER, toml=toml, note="its box has to let it out as well")
    return Way(where=USER, toml=_lines(finding, layers, attended))


def _told(knob: str, finding: Finding) -> str:
    name = "guard." + knob.removeprefix("repo.")
    return f"the rule on {json.dumps(finding.subject)} in `{name}`" if knob.endswith("rules") else f"`{name}`"


def _lines(finding: Finding, layers: Layers, attended: bool) -> str:
    """The smallest change of the settings that lifts it."""
    table, _, key = finding.knob.rpartition(".")
    head = ".".join(part for part in ("guard", "attended" if attended else "", table) if part)
    subject = json.dumps(finding.subject)
    if finding.knob in ("mcp", "tools"):
        return f'[{head}.{finding.knob}]\n{subject} = "allow"'
    if finding.knob in ("egress", "install.names"):
        now = [name for name in value_of(layers.own(), finding.knob) if (name,) != NOTHING]
        return f"[{head}]\n{key} = {json.dumps([*now, *finding.subject.split()])}"
    return f'[{head}]\n{key} = "allow"'


def decided_by(finding: Finding, layers: Layers) -> str:
    """The layer that decided, for a person."""
    if finding.floor or not finding.knob:
        return "the floor, which no policy lifts"
    layer = layers.layer(finding.knob)
    name = "guard." + finding.knob.removeprefix("repo.")
    if layer == BOX:
        return "the hosts that the run's box lets out to"
    return f"`{name}`, by default" if layer == DEFAULTS else f"`{name}` in {layer}"


def question(task: str, run: str, what: str, found: Assessment, layers: Layers) -> Question:
    """The question to file for a call that would have been asked about. what: the call, in the agent's words."""
    finding = found.deciding
    assert finding is not None
    how = way(finding, layers, attended=False)
    mark = hashlib.sha256(found.fingerprint.encode(errors="replace")).hexdigest()[:8]
    return Question(
        id=f"{task}.q{mark}",
        task=task,
        run=run,
        text=f"May it? {_clean(finding.reason, _LINE)}",
        choices=(KEEP, ALLOW) if how.toml else (KEEP,),
        default=KEEP,
        data=_clean(what, _SHORT),
        rule=finding.rule,
        effects=tuple(_clean(effect_line(effect), _LINE) for effect in found.effects[:_EFFECTS]),
        allow=how.toml,
        where=how.where,
    )


def _clean(text: str, most: int) -> str:
    text = sanitised(redacted(text))
    return text if len(text) <= most else text[: most - 1] + "…"
