"""What pages say, in every language: no text is missing, and none is shown in English to who reads another."""

from __future__ import annotations

import ast
import itertools
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest
from web_lab import Http, Lab, wait
from web_lab import held as waits
from web_served import Pages

from overnight import errors
from overnight.dashboard.words import LANGUAGES, MONTHS, MOST_RETOLD, reteller, speaker, texts, weekday
from overnight.missions.approval import WORDS
from overnight.missions.hold import HoldReason
from overnight.missions.run import End
from overnight.missions.task import Phase
from overnight.ports import Mechanism
from overnight.report.soaked import Promise, Soaked, keep
from overnight.report.views import State
from overnight.usage.ratelimits import _CLAIMS, _KINDS  # pyright: ignore[reportPrivateUsage] (names that pages show)

SOURCE = Path(__file__).parents[2] / "src" / "overnight"
OTHERS = [code for code in LANGUAGES if code != "en"]
#: Every page but those of a task.
EVERY = ("/", "/tasks", "/guard", "/night", "/usage", "/schedule", "/system", "/tasks/new")
#: Rooms whose sentences pages show, and the keywords that hold them.
TELLERS = (
    "api/acts.py", "api/jobs.py", "api/looks.py", "dashboard/forms.py", "dashboard/shared.py", "dashboard/task.py",
    "dashboard/word.py", "durable/desk.py", "people/tickets.py", "report/brief_read.py",
)  # fmt: skip
HOLDERS = ("message", "problem", "next", "sentence")
#: Errors that pages are answered with.
ANSWERED = (
    errors.BadState, errors.NotDecided, errors.NoCassette, errors.StateNotWritable, errors.IndexBroken,
    errors.DaemonSilent, errors.DaemonUnreachable, errors.IndexNewer, errors.NotYours, errors.RepositoryGone, errors.CassetteBroken,
)  # fmt: skip
#: What the sentences of `acts` are that are put together of two.
TWOFOLD = (
    "7 ends what runs and pauses.",
    "7 is being cancelled.",
    "7: commit 7 is approved and goes on to land.",
    "7: commit 7 is rejected.",
)


def _said() -> set[str]:
    """Every text that templates and timeline show, also those that are chosen by a value."""
    folder = SOURCE / "dashboard"
    found = {each.value for kind in (HoldReason, State, Mechanism) for each in kind}
    found |= {each.value.capitalize() for each in Phase} | {each.value.replace("-", " ") for each in End}
    found |= {weekday(86400.0 * n) for n in range(7)} | {weekday(86400.0 * n)[:3] for n in range(7)}
    found |= {*MONTHS, *_CLAIMS.values(), *_KINDS}
    for file in folder.glob("templates/*.html"):
        text = file.read_text()
        found |= set(re.findall(r"""\bt\(["']((?:[^"'\\]|\\.)*)["']""", text))
        for table in re.findall(r"(?:t\(|set sorts = )\{(.*?)\}", text):
            found |= set(re.findall(r':\s*"([^"]+)"', table))
    return found | set(re.findall(r'say\(\s*"((?:[^"\\]|\\.)*)"', (folder / "timeline.py").read_text()))


def _forms(node: ast.expr) -> list[str]:
    """What a text may come to, every value in it being 7."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(each) for each in itertools.product(*map(_forms, parts))]
        case ast.IfExp(body=one, orelse=other):
            return _forms(one) + _forms(other)
        case ast.FormattedValue(value=ast.IfExp(body=one, orelse=other)):
            return (_forms(one) or ["7"]) + (_forms(other) or ["7"])
        case ast.FormattedValue():
            return ["7"]
        case ast.BoolOp(values=[_, ast.Constant(value=str(text))]):
            return ["7", text]
        case _:
            return []


def _told() -> set[str]:
    """Every sentence that acts and their errors tell, and every promise of a soak with what was seen of it."""
    found = {*TWOFOLD, *WORDS.values()}
    for name in TELLERS:
        for node in ast.walk(ast.parse((SOURCE / name).read_text())):
            if isinstance(node, ast.keyword) and node.arg in HOLDERS:
                found |= set(_forms(node.value))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found |= set(_forms(node.value)) if node.targets[0].id in HOLDERS else set()
    for error in ANSWERED:
        found.add(re.sub(r"\{\w+(!r)?\}", "7", " ".join(str(error.__doc__).split())))
    found |= {str(errors.UnknownTask(task="x", hint="")), str(errors.UnknownRepo(name="x", hint=""))}
    return {each for each in found | set(_promised()) if re.search("[a-z]", each)} - {"7 7.", "7: commit 7 7."}


def _promised() -> Iterator[str]:
    yield "daemon +0.1 MiB/h over 300 s, warden +1.0 MiB/h over 300 s, watchdog +0.0 MiB/h over 300 s"
    for node in ast.walk(ast.parse((SOURCE / "soak/verdicts.py").read_text())):
        match node:
            case ast.Call(func=ast.Name(id="_verdict" | "_leaks"), args=[_, promise, *rest]):
                yield from _forms(promise)
                yield from (form for each in rest for form in _forms(each))
            case ast.Call(func=ast.Name(id="_count"), args=[_, ast.Constant(value=str(what))]):
                yield from (f"1 {what}", f"7 {what}s")
            case ast.keyword(arg="seen" | "promise", value=value):
                yield from _forms(value)
            case ast.Assign(targets=[ast.Name(id="seen" | "promise" | "_BACK")], value=value):
                yield from _forms(value)
            case _:
                pass


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_in_every_language(language: str) -> None:
    """No text is missing, and each has the places that its English has."""
    known = texts(language)
    assert _said() - set(known) == set()
    told = json.loads((SOURCE / "dashboard" / "texts" / f"{language}.told.json").read_text())
    for text, said in (*known.items(), *told.items()):
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", said)), text


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_others_is_known(language: str) -> None:
    """What acts, their errors and the soak's judge put together in English is found again by its pattern."""
    retell = reteller(language)
    assert {each for each in _told() if retell(each) == each} == set()
    assert reteller("en")("x goes on.") == "x goes on."


def test_names_stay_what_they_are() -> None:
    """A repo that is called as one of our words keeps its name; what nobody knows stays as it is."""
    retell = reteller("de")
    assert retell("Guard goes on.") == "Guard geht weiter."
    assert retell("the agent's own words, 7 of them") == "the agent's own words, 7 of them"
    assert retell("The night is not done: 3 landed, 1 failed, 2 still to come; 2 wait for you.") == (
        "Die Nacht ist nicht geschafft: 3 gelandet, 1 gescheitert, 2 stehen noch aus; 2 warten auf dich."
    )
    assert retell("x is held (paused): approve does not apply. It waits for no decision now.") == (
        "x ist angehalten (angehalten): freigeben geht nicht. Sie wartet jetzt auf keine Entscheidung."
    )


# -- as it is served ------------------------------------------------------------------------------------------


class Read(HTMLParser):
    """The texts of a page, each as it stands between two tags, and of what a screen reader says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts = list[str]()
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("script", "style")
        self.texts += [value for name, value in attrs if value and name in ("aria-label", "title", "placeholder")]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.texts.append(" ".join(data.split()))


def english(page: str, language: str) -> set[str]:
    """Texts of a page that this language has other words for."""
    known, retell, say = texts(language), reteller(language), speaker(language)
    own = set(known.values())
    return {each for each in Read(page).texts if each not in own and (say(each) != each or retell(each) != each)}


def asked(http: Http, path: str, language: str) -> str:
    status, _, body = http.ask("GET", path, headers={"Accept-Language": language})
    assert status == 200, (path, body)
    return body.decode()


def test_a_text_without_measure_stays_as_it_is() -> None:
    """Patterns are tried on sentences only: nobody's long words keep the server busy."""
    said = " goes on."
    fits = "x" * (MOST_RETOLD - len(said)) + said
    assert reteller("de")(fits) != fits
    assert reteller("de")(f"x{fits}") == f"x{fits}"


@pytest.mark.parametrize("language", OTHERS)
def test_no_page_shows_english(tmp_path: Path, language: str) -> None:
    """Of what is known in the reader's language, on any page, with a soak and an audit to show; the English page has it."""
    with Pages(tmp_path / "state", logs=tmp_path / "none") as pages:
        pages.submit("one", "Ein Auftrag", "Tu es.")
        promises = (
            Promise("Each change that landed is in its target exactly once", kept=True, seen="3 landed once"),
            Promise("Memory does not grow", kept=None, seen="no process lived 300 s, so nothing can be said"),
        )
        soaked = Soaked(
            at=time.time() - 2 * 86400, seconds=1800.0, seed=7, version="0.1.0", commit="", tasks=12, landed=11, faults=4,
            interrupted=False, promises=promises,
        )  # fmt: skip
        assert keep(pages.home, soaked)
        for path in (*EVERY, "/tasks/one"):
            assert english(asked(pages.http, path, language), language) == set(), path
        assert {each.words for each in promises} | {each.seen for each in promises} <= english(
            asked(pages.http, "/system", "en"), language
        )


def do(http: Http, verb: str, **form: str) -> str:
    """What the toast of a button says to a German."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "Accept-Language": "de",
    }  # fmt: skip
    _, _, body = http.ask("POST", f"/do/{verb}", urlencode(form).encode(), headers)
    return body.decode()


@pytest.mark.slow
def test_toasts_are_in_the_readers_language(night: Lab) -> None:
    """Of what was done, and of what can't be."""
    http = Http(night.served().url, night.token())
    name = http.json("POST", "/api/tasks", {"text": "Auf Deutsch", "as_is": True})["id"]
    wait(lambda: waits(http, f"/api/tasks/{name}"))
    assert english(asked(http, f"/tasks/{name}", "de"), "de") == set()
    assert "Nichts Neues beginnt; was läuft" in do(http, "pause-all")
    assert "Alles geht weiter" in do(http, "resume-all")
    assert f"{name} ist angehalten (braucht Freigabe): antworten geht nicht." in do(http, "answer", task=name, text="x")
    assert "Keine Aufgabe heißt" in do(http, "pause", task="nobody-knows-it")
    commit = http.json("GET", f"/api/tasks/{name}")["runs"][-1]["result"]["commit"]
    assert "ist abgelehnt" in do(http, "reject", task=name, commit=commit, why="nein")
