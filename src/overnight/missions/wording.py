"""What the words of a task name, promise and leave open."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct


class Wording(Struct, frozen=True, kw_only=True):
    """Facts about a text. All words are as they were written."""

    words: int
    #: Files, names, commands, quotes, numbers with a unit: whatever can be looked up.
    anchors: tuple[str, ...] = ()
    #: Parts of a program by their common names: "login", "README", "the parser".
    parts: tuple[str, ...] = ()
    #: Words that say how one would see that it is done.
    outcomes: tuple[str, ...] = ()
    #: Words that mean something else to everyone.
    vague: tuple[str, ...] = ()
    #: Words without an end: "everything", "the whole codebase".
    broad: tuple[str, ...] = ()
    #: It asks for something whose end shows by itself: rename, remove, move, bump ...
    ends_itself: bool = False
    #: Separate things asked for.
    jobs: int = 0


_WORD = re.compile(r"[^\W_][\w'’-]*")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_ANCHORS = re.compile(
    r"""
    (?P<code> ```.*?``` | `[^`\n]+` )
  | (?P<quote> "[^"\n]{2,}" | “[^”\n]{2,}” | (?<!\w)'[^'\n]{2,}'(?!\w) )
  | (?P<url> https?://\S+ )
  | (?P<path> (?<![\w/])[\w.@-]*/[\w@{}:-][\w./@{}:*-]* )
  | (?P<file> \b[\w-]+\.(?:py|pyi|js|jsx|ts|tsx|mjs|cjs|go|rs|java|kt|rb|php|c|h|cc|cpp|hpp|cs|swift|sh|sql|toml|yaml
        |yml|json|md|rst|txt|html|css|scss|vue|svelte|lock|cfg|ini|xml|proto|tf|ipynb|csv|log|env)\b )
  | (?P<dunder> \b__\w+__\b )
  | (?P<name> \b[a-z0-9]+(?:_[a-z0-9]+)+\b | \b[a-z]+(?:[A-Z][a-z0-9]*)+\b | \b(?:[A-Z][a-z0-9]+){2,}\b
        | \b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b | \b[A-Za-z_]\w*\(\) | \b[a-z]\w+(?:\.[a-z_]\w+){1,}\b )
  | (?P<flag> (?<!\S)--?[a-zA-Z][\w-]* )
  | (?P<version> \bv?\d+(?:\.\d+)+\b | \#\d+\b | \b[0-9a-f]{7,40}\b )
  | (?P<amount> \b\d+\s?(?:ms|s|sec|seconds?|min|minutes?|hours?|days?|%|kb|mb|gb|kib|mib|px|req/s|rps|bytes?|lines?
        |items?|characters?|chars|times|rows?|entries|columns?)(?!\w) )
  | (?P<status> \b(?:HTTP\s*)?[1-5]\d\d\b )
    """,
    re.VERBOSE | re.DOTALL,
)


def _any(*words: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:" + "|".join(words) + r")(?![\w-])", re.IGNORECASE)


_PARTS = _any(
    r"log-?in", r"log-?out", r"sign-?(?:in|up)", r"read-?me", r"change-?log", r"licen[cs]e", r"docker-?file",
    r"make-?file", r"tests?", r"unit tests?", r"test suite", r"parser", r"lexer", r"tokenizer", r"scheduler",
    r"queue", r"cache", r"cli", r"command[- ]line", r"endpoints?", r"api", r"routes?", r"router", r"middleware",
    r"handlers?", r"controllers?", r"models?", r"schema", r"migrations?", r"database", r"sql", r"quer(?:y|ies)",
    r"index(?:es)?", r"config(?:uration)?", r"settings?", r"options?", r"flags?", r"env(?:ironment)? variables?",
    r"buttons?", r"forms?", r"dialogs?", r"modals?", r"menus?", r"nav(?:bar|igation)?", r"header", r"footer",
    r"sidebar", r"page", r"home ?page", r"dashboard", r"table", r"chart", r"tool-?tips?", r"dark mode", r"theme",
    r"logger", r"logging", r"logs?", r"metrics", r"exporter", r"importer", r"upload(?:er|s)?", r"downloads?",
    r"e-?mails?", r"notifications?", r"webhooks?", r"web-?sockets?", r"session(?:s)?", r"cookies?", r"tokens?",
    r"passwords?", r"permissions?", r"roles?", r"auth(?:entication|orization)?", r"oauth", r"search", r"filters?",
    r"pagination", r"sorting", r"validation", r"validators?", r"serializers?", r"error messages?", r"exceptions?",
    r"stack ?traces?", r"type hints?", r"types?", r"docstrings?", r"docs?", r"documentation", r"guide", r"tutorial",
    r"examples?", r"install(?:er| instructions?| section)", r"ci", r"pipeline", r"workflows?", r"lint(?:er)?",
    r"formatter", r"dependenc(?:y|ies)", r"packages?", r"lock-?file", r"client", r"sdk", r"plugin", r"workers?",
    r"jobs?", r"cron", r"retr(?:y|ies)", r"timeouts?", r"rate limit(?:er|ing)?", r"payments?", r"checkout", r"cart",
    r"invoices?", r"orders?", r"users?", r"accounts?", r"profile", r"avatar", r"comments?", r"csv", r"json", r"pdf",
    r"yaml", r"xml", r"time ?zones?", r"dates?", r"locale", r"translations?", r"strings?", r"typos?", r"spelling",
    r"warnings?", r"deprecations?", r"memory leak", r"race condition", r"deadlock", r"imports?", r"functions?",
    r"class(?:es)?", r"modules?", r"constants?", r"variables?", r"title", r"tags?", r"labels?", r"icons?", r"links?", r"messages?", r"images?", r"files?", r"hooks?", r"components?", r"widgets?", r"feature flags?",
)  # fmt: skip
_OUTCOMES = _any(
    r"should(?: not|n't)?", r"must(?: not|n't)?", r"shall", r"returns?", r"raises?", r"throws?", r"prints?", r"exits? with",
    r"instead of", r"so that", r"expected", r"expect", r"fails? (?:when|with|if|on)", r"crash(?:es|ed)?", r"traceback",
    r"steps to reproduce", r"given .{1,80} when", r"when .{1,80} then", r"at most", r"at least", r"no longer", r"only if",
    r"exactly", r"acceptance", r"(?:add|write) (?:\w+ ){0,4}tests? (?:for|that|which)", r"cover(?:s|ed)? by",
    r"equals?", r"matches", r"status code", r"exit code", r"error message", r"is (?:empty|missing|ignored|wrong|lost|not)",
    r"are (?:empty|missing|ignored|wrong|lost|not)", r"does(?: not|n't)", r"do not", r"don't", r"(?:is|are)n't",
    r"without (?:\w+ing)",
)  # fmt: skip
_VAGUE = _any(
    r"improv(?:e|es|ed|ing|ements?)", r"enhanc(?:e|ed|ing|ements?)", r"optimi[sz](?:e|ed|ing|ations?)", r"better", r"best",
    r"nicer?", r"good", r"great", r"clean(?: |-)?up", r"clean(?:er)?", r"tidy(?: up)?", r"polish", r"refine", r"moderni[sz]e",
    r"beautiful", r"pretty", r"modern", r"robust(?:er)?", r"more robust", r"scalable", r"flexible", r"elegant", r"smart(?:er)?",
    r"fast(?:er)?", r"slow", r"quick(?:er)?", r"performance", r"efficient", r"user[- ]friendly", r"intuitive", r"simple(?:r)?",
    r"simplify", r"some", r"stuff", r"things?", r"something", r"somehow", r"etc\.?", r"and so on", r"whatever", r"as needed",
    r"if needed", r"where needed", r"appropriate(?:ly)?", r"proper(?:ly)?", r"correctly", r"works? well", r"issues?",
    r"problems?", r"the bugs?", r"bugs", r"weird", r"strange", r"broken", r"look at", r"take a look", r"investigate",
    r"maybe", r"perhaps", r"probably", r"kind of", r"sort of", r"a bit", r"more", r"quality", r"best practices?", r"state of the art",
    r"production[- ]ready", r"enterprise", r"professional", r"refactor(?:ing)?", r"rework", r"overhaul", r"revamp", r"redesign",
    r"rethink", r"make it work", r"finish", r"handle errors?", r"error handling", r"support", r"(?:update|upgrade)(?!.{1,60}\bto\b)",
)  # fmt: skip
_BROAD = _any(
    r"everything", r"everywhere", r"anything", r"all of it", r"the whole \w+", r"the entire \w+", r"whole (?:code ?base|project|app)",
    r"entire (?:code ?base|project|app)", r"all (?:the )?(?:code|files|bugs|issues|problems|modules|things)", r"throughout",
    r"across the (?:code ?base|project|app|board)", r"from scratch", r"rewrite", r"re-?architect", r"redesign", r"overhaul", r"revamp",
    r"port (?:it|this|the \w+) to", r"the code ?base", r"the project", r"the app(?:lication)?", r"the system", r"the code",
    r"(?:an?|the) (?:full|complete) \w+", r"saas", r"platform", r"clone of",
)  # fmt: skip
_ENDS_ITSELF = re.compile(
    r"(?:^|[.;:\n]\s*|\band (?:then )?|\bplease |\b(?:we|you|let's) )[-*\d.) ]*"
    r"(?:rename|remove|delete|drop|move|bump|pin|revert|replace|translate|sort|fix (?:the |a |some )?(?:typos?|spelling)|"
    r"correct (?:the )?(?:typos?|spelling)|add (?:an? |the )?(?:\w+ ){0,3}(?:docstrings?|type hints?|annotations?|tests?|flag|option"
    r"|command|endpoint|column|field|button|example|badge|section|entry)|document|convert|inline|extract|split|enable|disable|expose|"
    r"format|deprecate|cache|log|validate|escape|trim|show|hide|change .{1,60} (?:from .{1,40} )?to|upgrade \S+ (?:from \S+ )?to|update \S+ (?:from \S+ )?to|set \S+)\b",
    re.IGNORECASE,
)
_VERBS = (
    "add|build|change|convert|create|delete|design|document|drop|enable|ensure|extend|extract|fix|handle|implement|improve|"
    "introduce|make|migrate|move|optimi[sz]e|refactor|remove|rename|replace|rewrite|set up|split|support|test|translate|"
    "update|upgrade|use|validate|write"
)
_JOB = re.compile(
    rf"(?:^|[.;\n]\s*|,\s*|\b(?:and|then|also)\s+)[-*\d.) ]*(?:please |also |then )*(?:{_VERBS})\b", re.IGNORECASE
)
_LETTERS = re.compile(r"[a-z](?:[\s,]+[a-z])*", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:^|\s)(\d{1,2})\s*[=:)]\s*")


def read(text: str) -> Wording:
    """What a text says about itself. Code in it names things, and is not read for words."""
    prose = _CODE.sub(" ", text)
    return Wording(
        words=len(_WORD.findall(text)),
        anchors=_unique(match[0] for match in _ANCHORS.finditer(text)),
        parts=_found(_PARTS, prose),
        outcomes=_found(_OUTCOMES, prose),
        vague=_found(_VAGUE, prose),
        broad=_found(_BROAD, prose),
        ends_itself=_ENDS_ITSELF.search(prose) is not None,
        jobs=len(_JOB.findall(prose)),
    )


def letters(words: str) -> tuple[str, ...]:
    """`b a c` or `b`: single letters and nothing else."""
    return tuple(re.findall(r"[a-z]", words, re.IGNORECASE)) if _LETTERS.fullmatch(words) else ()


def numbered(words: str) -> tuple[tuple[int, str], ...]:
    """`1=b 2=own words` as (1, "b"), (2, "own words")."""
    marks = list(_NUMBERED.finditer(words))
    if not marks or words[: marks[0].start()].strip():
        return ()
    ends = [mark.start() for mark in marks[1:]] + [len(words)]
    return tuple((int(mark[1]), words[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True))


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    return _unique(match[0].lower() for match in pattern.finditer(text))


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
