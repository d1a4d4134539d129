"""What may stand in `[notify]`, what its pages say, and what the commands make of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from notify_lab import Webhook, World, notice, serving, settings

from overnight.cli.notify import notify
from overnight.doctor.findings import Level
from overnight.doctor.look import Look
from overnight.doctor.notifier import notifier
from overnight.errors import BadInput, SettingsInvalid
from overnight.missions.notice import Priority
from overnight.people.outbox import Result
from overnight.people.secret import filled
from overnight.people.settings import Target

PAGE = Path(__file__).parents[2] / "docs" / "people.md"
ANN = '[people.ann]\nmay = ["approve"]\n'
TARGET = "[notify.targets.phone]\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[notify]\nquiet = "22-7"', "a span of the day"),
        ('[notify]\ndigest = "8"', "a time of the day"),
        ('[notify]\nzone = "Mars/Base"', "a time zone"),
        ('[notify.targets."My Phone"]\nurl = "json://h"', "is no name of a target"),
        (TARGET, "needs `url`"),
        (TARGET + 'url = "nothing"', "must be a URL"),
        (TARGET + 'url = "json://h/${A-B}"', "names an environment variable"),
        (TARGET + 'url = "json://h/${file:b}"', "names a file by"),
        (TARGET + 'url = "json://h"\nchat = "1"', "means nothing here"),
        (TARGET + 'kind = "ntfy"\nurl = "https://h/"', "the topic's URL"),
        (TARGET + 'kind = "ntfy"\nurl = "https://u:p@h/t"', "without a login"),
        (TARGET + 'kind = "ntfy"\nurl = "https://h/t"\ntoken = "tk_secret"', "the secret itself stays out"),
        (TARGET + 'kind = "ntfy"\nurl = "https://h/t"\nperson = "ann"', "needs `replies`"),
        (TARGET + 'kind = "ntfy"\nurl = "https://h/t"\nperson = "ann"\nreplies = "r"', "nobody is called"),
        (
            ANN + TARGET + 'kind = "ntfy"\nurl = "https://h/t"\nperson = "ann"\nreplies = "r"',
            "among its `senders.ntfy`",
        ),
        (ANN + TARGET + 'kind = "telegram"\ntoken = "${T}"\nchat = "1"\nperson = "ann"', "the number of the user"),
        (TARGET + 'kind = "telegram"\nchat = "1"', "needs `token`"),
        (TARGET + 'kind = "telegram"\ntoken = "${T}"', "needs `chat`"),
        (TARGET + 'kind = "telegram"\ntoken = "${T}"\nchat = "ann"', "a chat's number"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    """Every wrong target is refused with its place and what would be right, and a secret that is written out is not shown."""
    with pytest.raises(SettingsInvalid) as caught:
        settings(text)
    assert why in str(caught.value)
    assert "config.toml:" in str(caught.value)
    assert "tk_secret" not in str(caught.value)


def test_the_example_of_the_page_is_sound() -> None:
    """The example of docs/configuration.md for `[notify]` can be read."""
    text = (PAGE.parent / "configuration.md").read_text().split("## `[notify]`")[1]
    found = settings(text.split("```toml\n")[1].split("```")[0])
    assert set(found.notify.targets) == {"mail", "phone"}


def test_every_key_of_a_target_is_documented() -> None:
    """docs/people.md has a row for each key of a target, with its default."""
    text = PAGE.read_text().split("## Targets")[1].split("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    default = Target()
    for (name, told, _), field in zip(table, msgspec.structs.fields(Target), strict=True):
        assert name.strip(" `") == field.name
        value = msgspec.to_builtins(getattr(default, field.name))
        assert told.strip(" `") == ("none" if value is None else json.dumps(value))


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """Within a URL they are quoted, alone they are taken as they are, and what is missing is named."""
    (tmp_path / "secret").write_text("s/cret\n")
    environ = {"TOKEN": "a b@c"}
    assert filled("https://h/${TOKEN}", environ, url=True) == ("https://h/a%20b%40c", ("a b@c",))
    assert filled("${TOKEN}", environ, url=True) == ("a b@c", ("a b@c",))
    assert filled(f"x${{file:{tmp_path}/secret}}", environ)[0] == "xs/cret"
    for missing in ("${NONE}", "${file:/nonexistent}"):
        with pytest.raises(BadInput):
            filled(missing, environ)


def test_a_test_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`notify test` sends one to each target and says what happened; its exit code tells whether all were told."""
    monkeypatch.setenv("OVERNIGHT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path / "home"))

    async def main() -> None:
        hook = Webhook()
        async with serving(hook.handle) as port:
            text = f'{TARGET}url = "json://127.0.0.1:{port}/"\n[notify.targets.gone]\nurl = "json://127.0.0.1:1/secret-path"\n'
            (tmp_path / "config.toml").write_text(text)
            both = await asyncio.to_thread(CliRunner().invoke, notify, ["test"])
            one = await asyncio.to_thread(CliRunner().invoke, notify, ["test", "phone"])
        assert both.exit_code == 4
        assert one.exit_code == 0
        assert "phone (apprise json): taken by the far end" in both.output
        assert "gone (apprise json): not told: " in both.output
        assert "secret-path" not in both.output
        assert len(hook.got) == 2
        assert not (tmp_path / "home").exists()

    asyncio.run(main())


def test_the_command_and_the_doctor_say_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody named, a secret that is missing, a target that fails, all well: each has a line that says so."""
    config = tmp_path / "config.toml"
    environ = {"OVERNIGHT_CONFIG": str(config), "OVERNIGHT_HOME": str(tmp_path / "home")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config.write_text("")
    assert notifier(Look(environ)).level is Level.WARN
    text = TARGET + 'url = "json://127.0.0.1/${HOOK}"\n'
    config.write_text(text)
    assert "HOOK is not set" in notifier(Look(environ)).seen
    assert notifier(Look({**environ, "HOOK": "x"})).level is Level.OK
    w = World(tmp_path / "home", text)
    w.outbox.add(notice("disk", Priority.URGENT))
    w.send(Result(ok=False, why="503 from the far end"))
    w.close()
    line = notifier(Look({**environ, "HOOK": "x"}))
    assert line.level is Level.WARN
    assert "503 from the far end (1 wait, 0 given up)" in line.seen
    shown = CliRunner().invoke(notify, ["--json"])
    (view,) = json.loads(shown.output)
    assert (view["name"], view["waiting"], view["why"]) == ("phone", 1, "503 from the far end")
    assert "503 from the far end" in CliRunner().invoke(notify, []).output
