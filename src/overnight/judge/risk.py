"""How much could go wrong if this landed: 0 to 100, with a reason for every point; and what may not land at any score."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from overnight.judge.change import Change, Sort, gone_lines, new_lines, of_sort, sorts_of
from overnight.missions.globs import matching
from overnight.missions.judging import Risky


class Facts(Struct, frozen=True, kw_only=True):
    """What is known about a result. Unknown facts count as bad ones."""

    changes: tuple[Change, ...] = ()
    #: Globs of the policy.
    forbidden: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    #: Paths and names that the task's own words hold.
    named: tuple[str, ...] = ()
    #: Checks that fail and were not red on the base.
    failing: tuple[str, ...] = ()
    #: Checks that pass, and were seen to fail on the same commit.
    flaky: tuple[str, ...] = ()
    #: Findings of tampering: those that block, and those that raise the risk.
    tampered: tuple[str, ...] = ()
    suspicious: tuple[str, ...] = ()
    #: What was seen of attempts to talk anybody over.
    injections: tuple[str, ...] = ()
    #: Tool calls that the guard refused.
    denials: int = 0
    #: 0 (a stranger) to 1 (the owner).
    trust: float = 1.0
    #: How many changes like this landed, and how many of them were reverted or mended by a person.
    landed: int = 0
    regretted: int = 0


class Factor(Struct, frozen=True, kw_only=True):
    """One reason for risk."""

    #: A field of `RiskWeights`.
    name: str
    #: What it adds to the sum, in points, after what weighs more; the factors add up to the risk.
    points: float
    why: str


class Band(StrEnum):
    """What a risk means."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Risk(Struct, frozen=True, kw_only=True):
    """The number, where it comes from, and what no number outweighs."""

    #: 0-100
    score: int
    band: Band
    #: The heaviest first.
    factors: tuple[Factor, ...] = ()
    #: Why it may not land at any score; empty when it may.
    blocks: tuple[str, ...] = ()


class _Found(NamedTuple):
    name: str
    #: 0 to 1
    strength: float
    why: str


def assess(facts: Facts, policy: Risky | None = None) -> Risk:
    """Weigh what is known. More of anything bad never lowers the score."""
    policy = policy or Risky()
    found = [each for each in _found(facts) if each.strength > 0]
    weighed = sorted(((int(getattr(policy.weights, f.name)) * f.strength, f) for f in found), key=lambda pair: -pair[0])
    # As chances that add up: two factors of 50 points make 75, never more than 100.
    safe, factors = 1.0, list[Factor]()
    for weight, each in weighed:
        if weight > 0:
            factors.append(Factor(name=each.name, points=round(safe * weight, 1), why=each.why))
            safe *= 1 - weight / 100
    return _banded(round(100 * (1 - safe)), tuple(factors), tuple(_blocks(facts)), policy)


def with_doubts(risk: Risk, confidence: float | None, policy: Risky) -> Risk:
    """The same with what the judges' confidence adds. confidence: the least of those that passed it; None without judges."""
    weight = 0.0 if confidence is None else policy.weights.doubts * min(1.0, 2 * (1 - min(1.0, max(0.0, confidence))))
    if not weight or confidence is None:
        return risk
    points = round((100 - risk.score) * weight / 100, 1)
    factor = Factor(name="doubts", points=points, why=f"the judges are {confidence:.0%} sure at least")
    return _banded(round(risk.score + points), (*risk.factors, factor), risk.blocks, policy)


def _banded(score: int, factors: tuple[Factor, ...], blocks: tuple[str, ...], policy: Risky) -> Risk:
    high = blocks or score >= policy.blocks_from
    band = Band.HIGH if high else Band.MEDIUM if score >= policy.asks_from else Band.LOW
    return Risk(score=score, band=band, factors=factors, blocks=blocks)


def _blocks(facts: Facts) -> Iterator[str]:
    paths = _paths(facts.changes)
    yield from (f"{path} must not be changed by a task" for path in matching(paths, facts.forbidden))
    yield from (f"{change.path} is the policy itself" for change in of_sort(facts.changes, Sort.POLICY))
    yield from (f"check {name!r} fails and passed on the base" for name in facts.failing)
    yield from facts.tampered


def _found(facts: Facts) -> Iterator[_Found]:
    yield from _size(facts.changes)
    yield from _places(facts)
    yield from _content(facts.changes)
    yield from _proof(facts)
    yield from _history(facts)


def _size(changes: Sequence[Change]) -> Iterator[_Found]:
    lines = sum(change.added + change.removed for change in changes)
    yield _Found("lines", _up_to(lines, 20, 1000), f"{lines} lines changed")
    yield _Found("files", _up_to(len(changes), 3, 30), f"{len(changes)} files changed")
    gone = sum(change.removed - change.added for change in changes)
    yield _Found("deletions", _up_to(gone, 50, 500), f"{gone} lines more went than came")


def _places(facts: Facts) -> Iterator[_Found]:
    changes = facts.changes
    if sensitive := matching(_paths(changes), facts.sensitive):
        yield _Found("sensitive", _some(sensitive), f"the policy calls {_listed(sensitive)} sensitive")
    for name, said, sorts in _BY_SORT:
        if hit := of_sort(changes, *sorts):
            yield _Found(name, _some(hit), f"{said}: {_listed([change.path for change in hit])}")
    code, tests = _with_code(of_sort(changes, Sort.SOURCE)), of_sort(changes, Sort.TEST)
    if code and not tests:
        yield _Found("untested", 1.0, f"no test was changed beside {_listed([change.path for change in code])}")
    if tests and not of_sort(changes, *(set(Sort) - {Sort.TEST, Sort.TEXT, Sort.SNAPSHOT})):
        yield _Found("tests_only", 1.0, "tests were changed, and no code")
    if facts.named and (beyond := [path for path in _paths(changes) if not _is_named(path, facts.named)]):
        yield _Found("scope", _up_to(len(beyond), 2, 20), f"the task does not name {_listed(beyond)}")
    code_names = [name for name in map(_code_name, facts.named) if name]
    if code_names and not any(_touches(change, code_names) for change in changes):
        yield _Found("missed", 1.0, f"it has nothing that the task names: {_listed(code_names)}")


def _content(changes: Sequence[Change]) -> Iterator[_Found]:
    code = of_sort(changes, Sort.SOURCE, Sort.MIGRATION, Sort.OTHER)
    secure = [change.path for change in code if _SECURITY.search(change.path) or _any_line(_SECURITY_CODE, change)]
    if secure:
        yield _Found("security", _some(secure), f"about authentication, secrets or cryptography: {_listed(secure)}")
    if reaching := [change.path for change in code if any(_NETWORK.search(line) for line in new_lines(change))]:
        yield _Found("network", _some(reaching), f"new network or program calls in {_listed(reaching)}")
    lost = [name for change in code for name in _lost_names(change)]
    if lost:
        yield _Found("interfaces", _up_to(len(lost), 0, 4), f"public names went or changed: {_listed(lost)}")


def _proof(facts: Facts) -> Iterator[_Found]:
    if facts.suspicious:
        yield _Found("tamper", _some(facts.suspicious), _listed(facts.suspicious))
    if facts.flaky:
        yield _Found("flaky", _some(facts.flaky), f"pass and fail on the same commit: {_listed(facts.flaky)}")


def _history(facts: Facts) -> Iterator[_Found]:
    if facts.injections:
        yield _Found("injection", 1.0, f"somebody tried to talk it over: {_listed(facts.injections)}")
    yield _Found("denials", _up_to(facts.denials, 0, 5), f"the guard refused {facts.denials} tool calls")
    yield _Found("author", 1 - min(1.0, max(0.0, facts.trust)), "its author is not trusted yet")
    if facts.regretted:
        rate = facts.regretted / max(facts.landed, facts.regretted)
        yield _Found("record", rate, f"{facts.regretted} of {facts.landed} changes like this were taken back or mended")


_BY_SORT: tuple[tuple[str, str, tuple[Sort, ...]], ...] = (
    ("workflows", "workflows of the CI", (Sort.CI,)),
    ("checks", "settings of tests, linters or builds", (Sort.CHECKS,)),
    ("agents", "settings of agents or editors", (Sort.AGENT,)),
    ("dependencies", "dependencies", (Sort.MANIFEST, Sort.LOCK)),
    ("migrations", "migrations", (Sort.MIGRATION,)),
)
_SECURITY = re.compile(
    r"(?i)(?<![a-z])(?:auth|oauth|login|session|crypto|secret|token|password|permission|acl|jwt|tls|ssl|cert)"
)
_SECURITY_CODE = re.compile(
    r"(?i)password|passwd|secret|api_?key|private_?key|hashlib|hmac|bcrypt|argon2|jwt|verify\s*=\s*False|InsecureSkipVerify|"
    r"rejectUnauthorized|\bcsrf|\bcors\b|@login_required|permission|is_?admin|\bsudo\b|setuid|pickle\.loads?|yaml\.load\(|dangerouslySetInnerHTML"
)
_NETWORK = re.compile(
    r"\b(?:requests|httpx|aiohttp|urllib|urllib3|socket|http\.client|smtplib|paramiko)\.\w|\bfetch\(|\baxios\b|XMLHttpRequest|WebSocket\(|"
    r"\bnet/http\b|http\.(?:Get|Post|NewRequest)|reqwest::|TcpStream|HttpClient|URLConnection|subprocess\.\w|os\.(?:system|popen|exec)|"
    r"child_process|\bexec(?:Sync|File)?\(|spawn(?:Sync)?\(|exec\.Command|Command::new|Runtime\.getRuntime|\beval\(|new Function\("
)
_PUBLIC = re.compile(
    r"^(?:export\s+(?:default\s+)?)?(?:async\s+)?(?:def|class|function|interface|type|enum)\s+(?P<a>[A-Za-z]\w*)|"
    r"^pub(?:\([^)]*\))?\s+(?:async\s+)?(?:unsafe\s+)?(?:fn|struct|enum|trait|type|const|static|mod)\s+(?P<b>[A-Za-z]\w*)|"
    r"^func\s+(?:\([^)]*\)\s*)?(?P<c>[A-Z]\w*)|^type\s+(?P<d>[A-Z]\w*)|"
    r"^\s*(?:public|protected)\s+(?:static\s+|final\s+|abstract\s+)*[\w<>\[\], ]+\s+(?P<e>[A-Za-z]\w*)\s*\("
)


def _lost_names(change: Change) -> Iterator[str]:
    """Public names whose defining line went or changed."""
    if change.before is None:
        return
    for line in gone_lines(change):
        if (match := _PUBLIC.match(line)) is not None:
            yield next(name for name in match.groups() if name)


def _with_code(changes: Iterable[Change]) -> tuple[Change, ...]:
    # A file that is test and source by its names is a test.
    return tuple(change for change in changes if change.added and Sort.TEST not in sorts_of(change))


def _any_line(pattern: re.Pattern[str], change: Change) -> bool:
    return any(pattern.search(line) for lines in (new_lines(change), gone_lines(change)) for line in lines)


_CODE_NAME = re.compile(
    r"[\w.-]*/[\w./-]*|\w+(?:\.\w+)+|\w*_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|\w+(?=\()|(?<=`)[\w.-]+(?=`)"
)


def _code_name(anchor: str) -> str:
    """The path or name of code in it; empty for numbers and words in quotes, which a good change need not hold."""
    match = _CODE_NAME.search(anchor)
    return match[0] if match and len(match[0]) > 2 and not match[0].replace(".", "").isdigit() else ""


def _touches(change: Change, names: Sequence[str]) -> bool:
    """One of the names is in its path, or stands or stood in the file. What can't be looked into has none."""
    texts = (change.path, change.was, change.before or "", change.after or "")
    return any(name in text for name in names for text in texts)


def _is_named(path: str, named: Sequence[str]) -> bool:
    return any(name.strip("`'\"").rstrip("/") in path for name in named if len(name) > 2)


def _paths(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for change in changes for path in (change.path, change.was) if path))


def _up_to(value: float, from_: float, to: float) -> float:
    """0 up to `from_`, 1 from `to` on, and by the logarithm in between: the first hundred lines count most."""
    if value <= from_:
        return 0.0
    return min(1.0, math.log1p(value - from_) / math.log1p(to - from_))


def _some(found: Sequence[object]) -> float:
    """One is most of it, and more is more."""
    return min(1.0, 0.6 + 0.1 * len(found)) if found else 0.0


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(dict.fromkeys(names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
