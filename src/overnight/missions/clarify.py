"""Is it clear what a task asks for? Four signals, a number, and at most four questions. No model is asked.

The words looked for are English; code, paths, numbers and quotes count in any language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from overnight.errors import BadInput
from overnight.missions import wording

#: Nobody answers more than this at night.
MOST_QUESTIONS = 4

Weight = Annotated[int, Meta(ge=0, le=100)]


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each signal counts; only their ratio matters, and 0 leaves a signal out."""

    #: Nothing says how one would see that it is done.
    acceptance: Weight = 30
    #: Words that mean something else to everyone ("better", "clean up", "etc").
    vagueness: Weight = 25
    #: No file, name, command, page or part is named.
    surface: Weight = 25
    #: Too much at once, or hardly any words.
    scope: Weight = 20


class Clarify(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a task is asked about before it starts."""

    #: From this ambiguity (0-100) on a task waits for answers; 101 never asks.
    threshold: Annotated[int, Meta(ge=1, le=101)] = 50
    weights: Weights = Weights()


class Signal(Struct, frozen=True, kw_only=True):
    """One reason for doubt."""

    #: A field of `Weights`.
    name: str
    #: 0 is no doubt, 1 is all there can be.
    score: float
    #: For a person; empty when there is no doubt.
    why: str = ""


class Question(Struct, frozen=True, kw_only=True):
    """What a person is asked, with what to answer; an answer in own words is as good."""

    #: The signal it is about.
    about: str
    text: str
    choices: tuple[str, ...]
    #: Which choice is recommended, and taken where nobody answers: an index.
    default: int = 0


class Clarity(Struct, frozen=True, kw_only=True):
    """What was found out about a task's words."""

    #: 0-100
    ambiguity: int
    signals: tuple[Signal, ...]
    #: The most doubtful first; empty when the task is clear enough.
    questions: tuple[Question, ...]


class Answered(Struct, frozen=True, kw_only=True):
    """A question and what was said to it."""

    question: Question
    answer: str


def assess(text: str, acceptance: Sequence[str] = (), policy: Clarify | None = None) -> Clarity:
    """Look at a task's words. text: title and text together."""
    policy = policy or Clarify()
    signals = _signals(wording.read(text), wording.read("\n".join(acceptance)))
    weights = {signal.name: int(getattr(policy.weights, signal.name)) for signal in signals}
    total = sum(weights.values())
    ambiguity = round(100 * sum(weights[s.name] * s.score for s in signals) / total) if total else 0
    doubts = sorted((s for s in signals if s.score and weights[s.name]), key=lambda s: -s.score * weights[s.name])
    asks = ambiguity >= policy.threshold
    return Clarity(
        ambiguity=ambiguity,
        signals=signals,
        questions=tuple(QUESTIONS[s.name] for s in doubts[:MOST_QUESTIONS]) if asks else (),
    )


def _signals(text: wording.Wording, acceptance: wording.Wording) -> tuple[Signal, ...]:
    return (_acceptance(text, acceptance), _vagueness(text), _surface(text, acceptance), _scope(text))


def _acceptance(text: wording.Wording, acceptance: wording.Wording) -> Signal:
    name = "acceptance"
    if acceptance.words and len(acceptance.vague) * 4 < acceptance.words:
        return Signal(name=name, score=0.0)
    seen = text.outcomes and not (text.vague and text.words <= 5)
    if seen or (text.ends_itself and (text.anchors or text.parts) and not text.vague):
        return Signal(name=name, score=0.0)
    named = bool(text.anchors or text.parts)
    return Signal(name=name, score=0.6 if named else 1.0, why="nothing says how one would see that it is done")


def _vagueness(text: wording.Wording) -> Signal:
    # Whoever names things, or says what should be seen, is less likely to leave the rest open.
    firm = len(text.anchors) + (1 if text.outcomes and text.words > 5 else 0)
    score = min(1.0, 0.9 * len(text.vague)) * (1.0 if not firm else 0.5 if firm < 3 else 0.25)
    said = ", ".join(f'"{word}"' for word in text.vague[:4])
    return Signal(name="vagueness", score=score, why=f"{said} can mean anything" if text.vague else "")


def _surface(text: wording.Wording, acceptance: wording.Wording) -> Signal:
    if text.anchors or acceptance.anchors:
        return Signal(name="surface", score=0.0)
    if text.parts or acceptance.parts:
        return Signal(name="surface", score=0.4, why=f'"{(text.parts + acceptance.parts)[0]}" is all that says where')
    if text.words > 5 and not text.vague and not text.broad:
        # It is said in plain words what should be, only none of them is a common name for a part.
        return Signal(name="surface", score=0.4, why="no file, name or command is named")
    return Signal(name="surface", score=1.0, why="no file, name, command, page or part is named")


def _scope(text: wording.Wording) -> Signal:
    reasons = [f'"{word}" has no end' for word in text.broad[:2]]
    score = (0.4 if text.outcomes else 0.7) if text.broad else 0.0
    if text.words < 4 and not text.anchors:
        score, reasons = max(score, 0.7), [*reasons, "hardly any words"]
    if text.jobs > 4:
        score, reasons = max(score, 0.7), [*reasons, f"{text.jobs} jobs in one"]
    return Signal(name="scope", score=score, why="; ".join(reasons))


QUESTIONS = {
    "acceptance": Question(
        about="acceptance",
        text="How will you see that it is done?",
        choices=(
            "A new test shows it, and every check passes",
            "Every check passes; no new test is needed",
            "A written report, and no change of code",
        ),
    ),
    "vagueness": Question(
        about="vagueness",
        text="How far should it go?",
        choices=(
            "The smallest change that plainly helps, with reasons in the commit message",
            "A thorough job within the files it is about",
            "Proposals first: a report, and no change of code",
        ),
    ),
    "surface": Question(
        about="surface",
        text="Where should the change be?",
        choices=(
            "Wherever the cause is found; as few files as possible",
            "Only in the source; tests and configuration stay as they are",
            "Only in tests and documents",
        ),
    ),
    "scope": Question(
        about="scope",
        text="How much of it in this task?",
        choices=(
            "The most useful part that can be proved by itself; name what is left",
            "All of it, in commits that each pass the checks",
            "Only a plan, split into tasks",
        ),
    ),
}


def understand(questions: Sequence[Question], words: str) -> tuple[Answered, ...]:
    """A person's answer to all questions at once.

    `1=b 2=own words 3=a` by number and letter, one letter for each question (`b a c`), `defaults`, or, for anything
    else, own words that answer all of them. What is not answered takes the recommended choice. Raises BadInput for
    a question or choice that there is not.
    """
    picked = _picked(questions, words.strip())
    return tuple(
        Answered(question=question, answer=picked.get(n, question.choices[question.default]))
        for n, question in enumerate(questions, 1)
    )


def heard(questions: Sequence[Question], words: str) -> tuple[Answered, ...]:
    """As `understand`, where nobody is there to be told of a mistake: the words then stand as they are."""
    try:
        return understand(questions, words)
    except BadInput:
        return tuple(Answered(question=question, answer=words) for question in questions)


def _picked(questions: Sequence[Question], words: str) -> dict[int, str]:
    if not words or words.lower() == "defaults":
        return {}
    if letters := wording.letters(words):
        return {n: _choice(questions, n, letter) for n, letter in enumerate(letters, 1)}
    if numbered := wording.numbered(words):
        return {n: _choice(questions, n, answer) if len(answer) == 1 else answer for n, answer in numbered}
    return dict.fromkeys(range(1, len(questions) + 1), words)


def _choice(questions: Sequence[Question], n: int, letter: str) -> str:
    if not 1 <= n <= len(questions):
        raise BadInput(problem=f"There is no question {n}: answer 1 to {len(questions)}, such as `1=a`.")
    choices = questions[n - 1].choices
    index = ord(letter.lower()) - ord("a")
    if not 0 <= index < len(choices):
        last = chr(ord("a") + len(choices) - 1)
        raise BadInput(problem=f"Question {n} has no choice {letter!r}: take a to {last}, or answer in own words.")
    return choices[index]


def show_questions(questions: Sequence[Question]) -> str:
    """The questions as plain text, as a person is shown them."""
    lines: list[str] = []
    for n, question in enumerate(questions, 1):
        lines.append(f"{n}. {question.text}")
        for index, choice in enumerate(question.choices):
            mark = " (recommended)" if index == question.default else ""
            lines.append(f"   {chr(ord('a') + index)}) {choice}{mark}")
    return "\n".join(lines)


def show_answers(answered: Sequence[Answered]) -> str:
    """Markdown, one line a question."""
    return "\n".join(f"- {each.question.text} {' '.join(each.answer.split())}" for each in answered)


def write_spec(text: str, acceptance: Sequence[str], answered: Sequence[Answered]) -> str:
    """`clarified-spec.md`: what was asked for, word for word, and what was answered. For agents and judges."""
    parts = [f"# What was asked for\n\n{text.strip()}"]
    if acceptance:
        parts.append("## Done means\n\n" + "\n".join(f"- {line}" for line in acceptance))
    if answered:
        parts.append(f"## What the person answered\n\n{show_answers(answered)}")
    return "\n\n".join(parts) + "\n"
