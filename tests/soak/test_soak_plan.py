"""What a seed makes."""

from __future__ import annotations

import msgspec
import pytest

from overnight.soak.plan import LAST, LAST_RESTART, OF_MODEL, RESTARTING, Fault, Kind, Order, blows, chores

ORDER = Order(seconds=1800.0, tasks_per_minute=10.0, seed=7, faults=tuple(Fault), cli=True)


def test_the_same_seed_makes_the_same_soak() -> None:
    """Tasks and faults follow from the order alone, and another seed makes others."""
    other = msgspec.structs.replace(ORDER, seed=8)
    assert chores(ORDER) == chores(ORDER)
    assert blows(ORDER) == blows(ORDER)
    assert [blow.fault for blow in blows(ORDER)] != [blow.fault for blow in blows(other)]


@pytest.mark.parametrize("seconds", [60.0, 1800.0])
def test_every_kind_of_task_comes(seconds: float) -> None:
    """However short it is, each kind is there; ids are unique and in order of time."""
    found = chores(msgspec.structs.replace(ORDER, seconds=seconds))
    assert {chore.kind for chore in found} == set(Kind)
    assert len({chore.id for chore in found}) == len(found)
    assert [chore.at for chore in found] == sorted(chore.at for chore in found)


def test_every_fault_comes_and_none_too_late() -> None:
    """Each kind of fault comes; what starts a process anew only in the first part, so that memory can be watched."""
    found = blows(ORDER)
    assert {blow.fault for blow in found} == set(Fault)
    assert max(blow.at for blow in found) < ORDER.seconds * LAST
    assert max(blow.at for blow in found if blow.fault in RESTARTING) <= ORDER.seconds * LAST_RESTART


def test_a_fault_of_the_model_has_somebody_who_asks() -> None:
    """Just before each one a task of the CLI comes."""
    found = [blow for blow in blows(ORDER) if blow.fault in OF_MODEL]
    first = [chore.at for chore in chores(ORDER) if chore.first]
    assert [blow.at - at for blow, at in zip(found, first, strict=True)] == pytest.approx([2.0] * len(found))


def test_without_a_cli_nobody_asks_a_model() -> None:
    """No task of the CLI is planned where there is none."""
    order = msgspec.structs.replace(ORDER, cli=False)
    assert Kind.CLI not in {chore.kind for chore in chores(order)}


def test_only_the_faults_that_were_asked_for() -> None:
    """A list of one gives one, none gives none; what may not come late is no endless search."""
    assert {blow.fault for blow in blows(msgspec.structs.replace(ORDER, faults=(Fault.KILL_DAEMON,)))} == {
        Fault.KILL_DAEMON
    }
    assert blows(msgspec.structs.replace(ORDER, faults=())) == ()
