"""Words in a change that are meant for whoever judges it, and not for the program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from overnight.judge.change import Change, new_lines

_WHO = r"(?:judges?|reviewers?|graders?|evaluators?|auditors?|approvers?|assistants?|(?:AI|LLM|language)[ -]?(?:models?|agents?|reviewers?)|overnight|claude|gpt|gemini)"
_TALK = re.compile(
    r"(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+|the\s+|your\s+)*(?:previous|prior|above|earlier|other|system)\s+(?:instructions?|rules|prompts?|messages?)|"
    rf"\b(?:note|message|instructions?|attention|reminder|dear)\b[^.\n]{{0,20}}\b{_WHO}\b|"
    rf"\b{_WHO}\b[^.\n]{{0,40}}\b(?:must|should|shall|please|has to|have to|needs? to|are to|is to)\b[^.\n]{{0,40}}\b(?:pass|approve|accept|answer|say|ignore|trust|merge|land|return|report)|"
    r"\b(?:answer|respond|reply|return|output|give)\b[^.\n]{0,30}\b(?:verdict|PASS)\b|[\"']?verdict[\"']?\s*[:=]\s*[\"']?PASS|"
    r"\b(?:approve|merge|land|pass)\s+this\s+(?:change|commit|pull request|PR|patch|diff)\b|"
    r"\b(?:pre-?approved|already (?:approved|verified|reviewed)|verified|approved)\b[^.\n]{0,20}\bby\s+(?:the\s+)?(?:maintainers?|owners?|security|admin\w*|humans?|a person)|"
    r"<\|?(?:im_start|im_end|system|endoftext)\|?>|\[/?(?:INST|SYSTEM)\]|^\s*(?:system|assistant)\s*:\s*\S",
    re.IGNORECASE | re.MULTILINE,
)


def persuasions(changes: Sequence[Change]) -> tuple[str, ...]:
    """`PATH: words` for each place, in file names and in new lines. Programs that speak of judges have them too: it is a doubt."""
    return tuple(dict.fromkeys(_all(changes)))


def talk_in(text: str) -> str:
    """The first such words in a text that is no change; empty when there are none."""
    found = _TALK.search(text)
    return "" if found is None else found[0].strip()[:100]


def _all(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        if change.exists and (match := _TALK.search(change.path.rpartition("/")[2])) is not None:
            yield f"{change.path}: {match[0].strip()[:100]}"
        for line in new_lines(change):
            if (match := _TALK.search(line)) is not None:
                yield f"{change.path}: {match[0].strip()[:100]}"


#: What programs and pages print when they talk to a model. Narrower than what counts in a change: whoever works on a
#: repository reads many words about reviewers in it.
_ORDER = re.compile(
    r"(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+|the\s+|your\s+)*(?:previous|prior|above|earlier|system)\s+(?:instructions?|rules|prompts?|messages?)|"
    r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|"
    r"\bdo not (?:tell|inform|mention (?:this|it) to|alert) the (?:user|owner|person|human)\b|"
    r"\b(?:answer|respond|reply)\b[^.\n]{0,30}\bverdict\b[^.\n]{0,20}\bPASS\b",
    re.IGNORECASE,
)


def orders(outputs: Iterable[str]) -> tuple[str, ...]:
    """`a tool's output: words` for each different order to a model in what tools gave the agent to read."""
    found = (match[0] for text in outputs for match in _ORDER.finditer(text))
    return tuple(dict.fromkeys(f"a tool's output: {' '.join(words.split())[:100]}" for words in found))
