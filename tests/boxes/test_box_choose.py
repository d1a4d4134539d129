"""Choosing a box, finding bwrap, and the owner's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from boxing import within

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.choose import choose
from overnight.boxes.container import Container
from overnight.boxes.engine import APPARMOR, INSTALL, advice, candidates, find_engine
from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings, inside_path, tool_folders
from overnight.errors import BadInput, BoxUnavailable, NotConfirmed, SettingsInvalid
from overnight.missions.policy import BoxLevel


@pytest.mark.parametrize("minimum", [BoxLevel.NONE, BoxLevel.OS])
@pytest.mark.parametrize("wanted", [None, "bubblewrap"])
@pytest.mark.parametrize("confirmed", [True, False])
def test_bubblewrap_is_the_default(minimum: BoxLevel, wanted: str | None, confirmed: bool) -> None:
    """Nothing but the name `none` leads away from a real box, not even a minimum of none."""
    assert isinstance(choose(minimum, wanted, confirmed), Bubblewrap)


def test_none_must_be_confirmed() -> None:
    """`none` by name is not enough."""
    with pytest.raises(NotConfirmed):
        choose(BoxLevel.NONE, "none", confirmed=False)
    assert isinstance(choose(BoxLevel.NONE, "none", confirmed=True), Unconfined)


@pytest.mark.parametrize("minimum", [BoxLevel.OS, BoxLevel.CONTAINER, BoxLevel.MICROVM])
def test_none_never_satisfies_a_minimum(minimum: BoxLevel) -> None:
    """A policy that asks for a box gets none for no confirmation."""
    with pytest.raises(BoxUnavailable, match=minimum.value):
        choose(minimum, "none", confirmed=True)


@pytest.mark.parametrize("minimum", [BoxLevel.CONTAINER, BoxLevel.MICROVM])
@pytest.mark.parametrize("wanted", [None, "bubblewrap"])
def test_a_stronger_minimum_is_not_met(minimum: BoxLevel, wanted: str | None) -> None:
    """Nothing weaker stands in for a box that is not there."""
    with pytest.raises(BoxUnavailable, match=minimum.value):
        choose(minimum, wanted, confirmed=True)


def test_a_container_meets_the_minimum_of_one() -> None:
    """It is chosen by name, and is of its level; no microvm."""
    assert isinstance(choose(BoxLevel.CONTAINER, "container", confirmed=False), Container)
    with pytest.raises(BoxUnavailable, match="microvm"):
        choose(BoxLevel.MICROVM, "container", confirmed=True)


def test_landlock_is_chosen_by_name_only() -> None:
    """The weaker box is for who asks for it; it is of the same level, and no stronger."""
    assert isinstance(choose(BoxLevel.OS, "landlock", confirmed=False), Landlock)
    with pytest.raises(BoxUnavailable, match="container"):
        choose(BoxLevel.CONTAINER, "landlock", confirmed=True)


def test_unknown_names_are_told() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(BadInput, match="bubblewrap, container, landlock, none"):
        choose(BoxLevel.OS, "docker", confirmed=True)


def _program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


USAGE = "echo --args --clearenv --json-status-fd --perms --ro-bind-data --seccomp --size"


def test_no_bwrap_says_what_to_install() -> None:
    """Without any bwrap the error names the packages."""
    with pytest.raises(BoxUnavailable, match=r"apt install bubblewrap.*pip install 'overnight\[box\]'"):
        within(find_engine(()))


def test_old_bwrap_is_passed_over(tmp_path: Path) -> None:
    """A bwrap that lacks an option is not used; the next one is, and the one that was found is kept."""
    old = _program(tmp_path / "bwrap", "echo --perms --seccomp")
    with pytest.raises(BoxUnavailable, match=r"does not know.*--size"):
        within(find_engine((old,)))
    real = candidates()
    if not real:
        pytest.skip("this machine has no bwrap")
    paths = (old, *real)
    engine = within(find_engine(paths))
    assert engine.path == real[0]
    assert within(find_engine(paths)) is engine


def test_bwrap_that_can_not_start_a_box_is_named(tmp_path: Path) -> None:
    """What a failing bwrap says reaches the person, with the cause on Ubuntu; a failure is tried again."""
    says = 'echo "bwrap: setting up uid map: Permission denied" >&2; exit 1'
    broken = _program(tmp_path / "bwrap", f'case "$1" in --help) {USAGE};; *) {says};; esac')
    with pytest.raises(BoxUnavailable, match=r"setting up uid map.*AppArmor"):
        within(Bubblewrap(engines=(broken,)).probe())
    real = candidates()
    if real:
        _program(Path(broken), f'exec {real[0]} "$@"')
        assert within(find_engine((broken,))).path == broken


def test_missing_bwrap_is_an_error(tmp_path: Path) -> None:
    """A path that leads nowhere is an error, not a crash."""
    with pytest.raises(BoxUnavailable):
        within(find_engine((str(tmp_path / "gone"),)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("bwrap: setting up uid map: Permission denied", APPARMOR),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", APPARMOR),
        ("bwrap: No permissions to creating new namespace, likely because", "kernel.unprivileged_userns_clone=1"),
        ("/usr/bin/bwrap does not know --size", "too old"),
        ("something else", INSTALL),
    ],
)
def test_advice(said: str, expected: str) -> None:
    """Known causes get their cure."""
    assert expected in advice(said)


def test_path_inside(tmp_path: Path) -> None:
    """The tools' program folders come first, the system's follow."""
    for part in ("one/bin", "one/shims", "two/bin", "three"):
        (tmp_path / part).mkdir(parents=True)
    settings = BoxSettings(tools=tuple(f"{tmp_path}/{name}" for name in ("one", "two/bin", "three")))
    found = f"{tmp_path}/one/shims:{tmp_path}/one/bin:{tmp_path}/two/bin"
    assert inside_path(settings) == f"{found}:/usr/local/bin:/usr/bin:/bin"
    assert inside_path(BoxSettings()) == "/usr/local/bin:/usr/bin:/bin"


def test_tools_may_lie_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/` stands for the home; the home itself, or what holds it, is refused."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".tools").mkdir(parents=True)
    assert tool_folders(BoxSettings(tools=("~/.tools",))) == (f"{tmp_path}/home/.tools",)
    for text in ("~", str(tmp_path), "/", "~/gone", "tools", "~/.tools/.."):
        with pytest.raises(SettingsInvalid):
            tool_folders(BoxSettings(tools=(text,)))
