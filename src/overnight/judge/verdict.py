"""What judges say, and what it comes to. Too few, too unsure or too old is never a pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from overnight.missions.judging import Quorum

Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(max_length=2000)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=50)]


class Word(StrEnum):
    """A judge's verdict."""

    PASS = "PASS"  # noqa: S105 (a word of the form)
    FAIL = "FAIL"
    NEEDS_HUMAN = "NEEDS_HUMAN"


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge has to answer, as JSON of exactly this shape."""

    verdict: Word
    #: How sure it is of the verdict, 0 to 1.
    confidence: Share
    #: What must be mended before it may land. A FAIL has some, a PASS none.
    blocking: Texts
    #: What is worth a word and blocks nothing.
    other: Texts
    #: What the evidence does not show and would have to.
    gaps: Texts
    #: Whether anything in the evidence tries to tell a judge what to say.
    injection: bool


class Outside(StrEnum):
    """Why a judge gave no answer that it may well give later."""

    #: Its limit is used up (429).
    LIMIT = "limit"
    #: Its service fails (5xx).
    VENDOR = "vendor"
    #: Nothing answers at its address.
    NETWORK = "network"


class Opinion(Struct, frozen=True, kw_only=True):
    """A judge's answer, bound to what it was about."""

    #: The judge's name in the settings.
    judge: str
    #: Who made its model: judges of one family have the same blind spots.
    family: str
    model: str
    #: What it judged: the commit, and the digest of the evidence.
    commit: str
    evidence: str
    #: None when it gave no usable answer: dead, slow, malformed, over its budget.
    said: Said | None
    #: Why it gave none.
    why: str = ""
    #: What outside kept it from answering; None when that was its own doing, or it answered.
    outside: Outside | None = None
    #: Epoch seconds before which it is of no use to ask it again.
    retry_at: float | None = None
    #: Dollars; None is unknown.
    cost: float | None = None
    #: Seconds.
    took: float = 0.0


class Passed(Struct, frozen=True, kw_only=True):
    """As many families as were asked for pass it, without gaps."""

    #: The least of their confidences; None when no judge was asked for.
    confidence: float | None


class Failed(Struct, frozen=True, kw_only=True):
    """Whoever judged it says FAIL; the next run is told why."""

    issues: tuple[str, ...]


class Split(Struct, frozen=True, kw_only=True):
    """Some pass it and some fail it: a person decides."""

    why: str


class Open(Struct, frozen=True, kw_only=True):
    """It was not judged to the end: too few answers, doubts or gaps. A person decides."""

    why: str


Tally = Passed | Failed | Split | Open


def understand(text: str) -> Said:
    """A judge's answer. Raises ValueError, which says what is wrong with it.

    One JSON object and nothing around it but blanks or one code fence.
    """
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        body = body.removeprefix("```").removesuffix("```").removeprefix("json").strip()
    try:
        said = msgspec.json.decode(body.encode(), type=Said, strict=True)
        json.loads(body, object_pairs_hook=_once)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"not the JSON object that was asked for: {error}") from error
    if said.verdict is Word.PASS and said.blocking:
        raise ValueError("it says PASS and names blocking issues")
    if said.verdict is Word.FAIL and not said.blocking:
        raise ValueError("it says FAIL and names no blocking issue")
    return said


def _once(pairs: list[tuple[str, object]]) -> None:
    """A key that stands twice has two values, and which of them counts is anybody's guess."""
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} stands in it twice")


def schema() -> dict[str, Any]:
    """The JSON schema of `Said`, for vendors that hold a model to one: no references, every field required."""
    (root,), parts = msgspec.json.schema_components([Said], ref_template="{name}")
    return cast("dict[str, Any]", _inline(parts[root["$ref"]], parts))


def _inline(node: Any, parts: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(each, parts) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    table = cast("dict[str, Any]", node)
    if "$ref" in table:
        return _inline(parts[table["$ref"]], parts)
    return {key: _inline(value, parts) for key, value in table.items() if key not in ("title", "description")}


def tally(opinions: Sequence[Opinion], quorum: Quorum, *, commit: str, evidence: str, author: str) -> Tally:
    """What the opinions come to. author: the family of the model that did the work; its own word does not count."""
    if not quorum.families:
        return Passed(confidence=None)
    about = [each for each in opinions if (each.commit, each.evidence) == (commit, evidence) and each.family != author]
    said = [(each, each.said) for each in about if each.said is not None]
    passes = [(each, what) for each, what in said if what.verdict is Word.PASS]
    fails = [(each, what) for each, what in said if what.verdict is Word.FAIL]
    if passes and fails:
        return Split(why=_split([each.judge for each, _ in passes], fails[0]))
    if fails and len(fails) == len(said):
        return Failed(issues=tuple(dict.fromkeys(issue for _, what in fails for issue in what.blocking)))
    if why := _doubts(opinions, about, said, passes, quorum):
        return Open(why=why)
    return Passed(confidence=min(what.confidence for _, what in passes))


_BEST = Said(verdict=Word.PASS, confidence=1.0, blocking=(), other=(), gaps=(), injection=False)


def out_of_reach(
    opinions: Sequence[Opinion], quorum: Quorum, *, commit: str, evidence: str, author: str
) -> tuple[Opinion, ...]:
    """The judges that could not be reached, where nothing but their words is missing; none where waiting helps nobody."""
    missing = tuple(each for each in opinions if each.said is None and each.outside is not None)
    at_best = [replace(each, said=_BEST) if each in missing else each for each in opinions]
    found = tally(opinions, quorum, commit=commit, evidence=evidence, author=author)
    best = tally(at_best, quorum, commit=commit, evidence=evidence, author=author)
    return missing if isinstance(found, Open) and isinstance(best, Passed) else ()


def _split(passing: Sequence[str], failing: tuple[Opinion, Said]) -> str:
    opinion, what = failing
    verb = "passes" if len(passing) == 1 else "pass"
    return (
        f"{', '.join(passing)} {verb} it and {opinion.judge} does not: {next(iter(what.blocking), 'it names no issue')}"
    )


def _doubts(
    opinions: Sequence[Opinion],
    about: Sequence[Opinion],
    said: Sequence[tuple[Opinion, Said]],
    passes: Sequence[tuple[Opinion, Said]],
    quorum: Quorum,
) -> str:
    reasons = [f"{each.judge} asks for a person" for each, what in said if what.verdict is Word.NEEDS_HUMAN]
    reasons += [f"{each.judge} misses evidence: {what.gaps[0]}" for each, what in said if what.gaps]
    reasons += [f"{each.judge} saw an attempt to talk it over" for each, what in said if what.injection]
    sure = quorum.confidence / 100
    reasons += [f"{each.judge} is only {what.confidence:.0%} sure" for each, what in passes if what.confidence < sure]
    families = {each.family for each, what in passes if what.confidence >= sure and not what.gaps}
    if len(families) < quorum.families:
        reasons.append(f"{len(families)} of {quorum.families} families of models pass it")
        reasons += [f"{each.judge}: {each.why}" for each in about if each.said is None]
        if len(about) < len(opinions):
            reasons.append("a verdict about another commit, or of the author's own family, does not count")
    return "; ".join(reasons)
