"""Attacks on boxes. One counts when it succeeds without a box; then it must fail in every box, or be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from escape_attack import Attack
from escape_catalogue import ATTACKS
from escape_known import BACKENDS, KNOWN, known
from escape_page import page
from escape_people import ENGINES, PEOPLE, CanNotPlay, outcomes

Outcomes = Callable[[str, str], dict[str, bool]]
PAGE = Path(__file__).parents[2] / "docs" / "escapes.md"


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Outcomes:
    """What became of every attack, by person and backend. Played when first asked for."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def play(person: str, backend: str) -> dict[str, bool]:
        try:
            return outcomes(person, backend, shared)
        except CanNotPlay as why:
            pytest.skip(str(why))

    return play


def _claimed(attack: Attack, person: str) -> bool:
    return attack.root if person == "root" else attack.user


def _cases() -> Iterator[object]:
    """Person, backend, attack; the known ones marked."""
    for backend, people in BACKENDS.items():
        for person, attack in product(people, ATTACKS):
            marks = [pytest.mark.engine] if backend in ENGINES else []
            if entry := known(backend, attack.name):
                marks.append(pytest.mark.xfail(reason=entry.why, raises=AssertionError))
            if _claimed(attack, person):
                yield pytest.param(person, backend, attack, id=f"{person}-{backend}-{attack.name}", marks=marks)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_succeeds_without_a_box(person: str, attack: Attack, played: Outcomes) -> None:
    """The control: what is claimed to be dangerous is, on this machine, for this person."""
    succeeded = played(person, "nothing")[attack.name]
    if not succeeded and (attack.needs or not _claimed(attack, person)):
        pytest.skip(f"proves nothing here: {attack.needs or 'it needs root'}")
    assert succeeded


@pytest.mark.parametrize(("person", "backend", "attack"), tuple(_cases()))
def test_attack_fails_in_a_box(person: str, backend: str, attack: Attack, played: Outcomes) -> None:
    """What succeeds without a box does not succeed in one."""
    if not played(person, "nothing")[attack.name]:
        pytest.skip(f"proves nothing here: {attack.needs}")
    assert not played(person, backend)[attack.name]


def test_there_are_enough_attacks() -> None:
    """At least sixty are claimed for each person, and every known escape is an attack that is claimed."""
    for person in PEOPLE:
        assert sum(_claimed(attack, person) and not attack.needs for attack in ATTACKS) >= 60
    claimed = {(attack.name, person) for attack in ATTACKS for person in PEOPLE if _claimed(attack, person)}
    assert {(entry.attack, person) for entry in KNOWN for b in entry.backends for person in BACKENDS[b]} <= claimed


def test_the_page_says_what_the_suite_does() -> None:
    """docs/escapes.md lists these attacks, and which of them get out."""
    assert PAGE.read_text() == page(), "run: python tests/escape/escape_page.py > docs/escapes.md"
