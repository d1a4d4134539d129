"""A machine's settings: what its owner says, composed of what the rooms declare beside their own code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from overnight.agents.choose import AgentSettings
from overnight.api.settings import WebSettings
from overnight.boxes.settings import BoxSettings
from overnight.cassette.recorder import CassetteSettings
from overnight.config.daemon import DaemonSettings, LogSettings, daemon_rules, log_rules
from overnight.config.document import read
from overnight.config.guard import GuardSettings, guard_rules
from overnight.config.hosts import hosts
from overnight.config.judges import judge_rules
from overnight.config.notify import notify_rules
from overnight.config.people import people_rules
from overnight.config.places import expanded, settings_path, xdg
from overnight.config.shape import Problem, show
from overnight.config.telemetry import telemetry_rules
from overnight.config.watchdog import WatchdogSettings, watchdog_rules
from overnight.config.web import web_rules
from overnight.errors import BadUnit, SettingsInvalid
from overnight.guard.redact import RedactSettings
from overnight.judge.budget import BudgetSettings
from overnight.judge.limits import LimitSettings
from overnight.judge.routing import Routing
from overnight.judges.settings import JudgeSettings
from overnight.landing.forge.settings import ForgeSettings
from overnight.missions.money import Amount
from overnight.missions.policy import BoxLevel
from overnight.missions.units import Duration
from overnight.people.operators import Person
from overnight.people.settings import NotifySettings
from overnight.report.nights import ReportSettings, clock_time
from overnight.telemetry.settings import TelemetrySettings
from overnight.usage.places import UsageSettings
from overnight.usage.prices import Price

if TYPE_CHECKING:
    from overnight.durable.pools import Pool


class Work(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is under way at once on this machine."""

    #: Tasks that prepare, run or are checked at the same time.
    total: Annotated[int, Meta(ge=1, le=1000)] = 2
    #: The same, for each repo.
    per_repo: Annotated[int, Meta(ge=1, le=1000)] = 1
    #: How many may begin in any span of time, such as `"10 per 1h"`; no such limit when absent.
    rate: str | None = None
    #: Results of a repo that may wait for your decision; from so many on nothing new starts there. 0 sets no bound.
    open_results: Annotated[int, Meta(ge=0, le=100_000)] = 20

    def pool(self) -> Pool:
        """These limits as the engine takes them."""
        from overnight.durable.pools import Pool, Rate

        rate = None if self.rate is None else Rate(*parse_rate(self.rate))
        return Pool(total=self.total, per_key=self.per_repo, rate=rate)


class Keep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what is over stays."""

    #: Days after its end that a task stays in the journal and its runs' folders on disk. Its events are archived.
    days: Annotated[int, Meta(ge=1, le=36500)] = 30


class BoxChoice(BoxSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which box runs and checks live in here, and what every box shows."""

    #: `bubblewrap` confines. `container` does so by podman or docker, and is the stronger level that a policy may ask
    #: for. `landlock` does so less tightly, for machines where nobody may make namespaces. `none` does
    #: not: it is for developing Overnight, and needs `i_know`.
    name: Literal["bubblewrap", "container", "landlock", "none"] = "bubblewrap"
    #: Confirms `name = "none"`: agents and checks may then do whatever you can do on this machine.
    i_know: bool = False


class StallBounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patient a repo's `[limits.stall]` may be at most; no such limit where absent."""

    #: Tool calls of one run.
    steps: Annotated[int, Meta(ge=1)] | None = None
    #: Tokens of one run.
    tokens: Annotated[int, Meta(ge=1)] | None = None
    #: Errors of one kind.
    errors: Annotated[int, Meta(ge=2)] | None = None
    #: The same call within `limits.stall.window`.
    repeats: Annotated[int, Meta(ge=1)] | None = None
    #: Messages that are alike.
    messages: Annotated[int, Meta(ge=2)] | None = None
    #: Looks without progress.
    looks: Annotated[int, Meta(ge=1)] | None = None
    #: Tool calls within a minute.
    pace: Annotated[int, Meta(ge=1)] | None = None
    #: Files changed in one step.
    files: Annotated[int, Meta(ge=1)] | None = None
    #: Percent of a task's estimate.
    overrun: Annotated[int, Meta(ge=100)] | None = None


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a repo's `overnight.toml` may ask for on this machine, at most."""

    #: A repo that asks for a weaker box than this gets this.
    box: BoxLevel = BoxLevel.NONE
    #: Something may be pushed to forges, by repos whose policy says so as well. Nothing is until you say so here.
    allow_remote_writes: bool = False
    #: A run lasts no longer than this, whatever the repo says; no such limit when absent.
    wall: Duration | None = None
    #: A task has no more attempts than this; no such limit when absent.
    attempts: Annotated[int, Meta(ge=1, le=20)] | None = None
    #: Hosts that agents and checks may reach when their repo asks for it: `example.org` or `*.example.org`.
    egress: tuple[str, ...] = ()
    #: How patient the watch over runs may be at most, whatever the repo says.
    stall: StallBounds = StallBounds()


class Canary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rehearsal that shows on this machine that forbidden calls are denied and that the box holds."""

    #: No agent starts unless it has passed with the agent's CLI, the box and the settings that are here now. Agents
    #: without hooks in no box are left out: nothing of theirs can be proved.
    required: bool = True


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's `config.toml`."""

    #: The state folder: journal, runs, worktrees. The environment's OVERNIGHT_HOME goes before it.
    home: str | None = None
    work: Work = Work()
    keep: Keep = Keep()
    box: BoxChoice = BoxChoice()
    agents: AgentSettings = AgentSettings()
    bounds: Bounds = Bounds()
    redact: RedactSettings = RedactSettings()
    routing: Routing = Routing()
    budget: BudgetSettings = BudgetSettings()
    #: Prices of models that no list knows, or that cost you something else, by the model's name.
    prices: dict[str, Price] = {}
    usage: UsageSettings = UsageSettings()
    limits: LimitSettings = LimitSettings()
    canary: Canary = Canary()
    guard: GuardSettings = GuardSettings()
    cassette: CassetteSettings = CassetteSettings()
    web: WebSettings = WebSettings()
    #: Models that judge results, by a name of your choice.
    judges: dict[str, JudgeSettings] = {}
    forge: ForgeSettings = ForgeSettings()
    #: Who may decide besides you at this machine, by name.
    people: dict[str, Person] = {}
    report: ReportSettings = ReportSettings()
    notify: NotifySettings = NotifySettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    daemon: DaemonSettings = DaemonSettings()
    logs: LogSettings = LogSettings()


def read_settings(env: Mapping[str, str] | None = None) -> Settings:
    """The machine's settings; the defaults where there is no file.

    Raises SettingsInvalid with everything that is wrong in the file, when it can't be read, or when OVERNIGHT_CONFIG
    names a file that is not there.
    """
    env = os.environ if env is None else env
    path = settings_path(env)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if env.get("OVERNIGHT_CONFIG"):
            problem = "OVERNIGHT_CONFIG names this file, and it is not there. Create it, or unset the variable."
            raise SettingsInvalid(where=path, problem=problem) from None
        return Settings()
    except OSError as error:
        problem = f"can't be read: {error.strerror}. Mend its permissions, or set OVERNIGHT_CONFIG to another file."
        raise SettingsInvalid(where=path, problem=problem) from error
    return parse_settings(data, str(path))


def parse_settings(data: bytes, where: str) -> Settings:
    """The settings in a file's content. Raises SettingsInvalid with line and column of everything that is wrong."""
    return read(data, where, Settings, _rules, SettingsInvalid, short={Amount: "usd"})


def state_home(settings: Settings, env: Mapping[str, str] | None = None) -> Path:
    """The state folder: OVERNIGHT_HOME, else `home`, else `overnight` in the user's state folder. Absolute."""
    env = os.environ if env is None else env
    if named := env.get("OVERNIGHT_HOME"):
        # A relative path in the environment is meant from where the person stands.
        return Path(named).absolute()
    if settings.home is not None:
        return expanded(settings.home, env)
    return xdg(env, "XDG_STATE_HOME", ".local/state") / "overnight"


def parse_rate(text: str) -> tuple[int, float]:
    """`10 per 1h` -> (10, 3600 seconds). Raises BadUnit."""
    match = re.fullmatch(r"\s*([1-9]\d{0,8})\s+per\s+(\S.*)", text, re.ASCII)
    if match is None:
        raise BadUnit(value=text, kind="rate", example='"10 per 1h"')
    return int(match[1]), Duration.parse(match[2])


def _rules(settings: Settings) -> Iterator[Problem]:
    if settings.home is not None and not settings.home.startswith(("/", "~/")):
        yield Problem(("home",), f"`home` must be absolute or start with `~/`, not {show(settings.home)}")
    if settings.work.rate is not None:
        try:
            seconds = parse_rate(settings.work.rate)[1]
        except BadUnit:
            seconds = 0
        if not seconds > 0:
            yield Problem(
                ("work", "rate"), f'`work.rate` must be a rate such as "10 per 1h", not {show(settings.work.rate)}'
            )
    if settings.box.name == "none" and not settings.box.i_know:
        yield Problem(
            ("box", "name"),
            '`box.name = "none"` lets agents and checks do whatever you can do here: '
            "confirm it with `i_know = true` in [box], or leave the key out",
            about=("box", "i_know"),
        )
    try:
        clock_time(settings.report.at)
    except ValueError:
        yield Problem(
            ("report", "at"), f'`report.at` must be a time of day such as "07:00", not {show(settings.report.at)}'
        )
    for n, pattern in enumerate(settings.redact.patterns, 1):
        try:
            re.compile(pattern)
        except re.error as error:
            where = f"`redact.patterns`, number {n}"
            yield Problem(("redact", "patterns"), f"{where}, is no regular expression: {error}")
    yield from hosts(("bounds", "egress"), settings.bounds.egress)
    yield from web_rules(settings.web)
    yield from guard_rules(settings.guard, ("guard",))
    yield from guard_rules(settings.guard.attended, ("guard", "attended"))
    yield from judge_rules(settings.judges)
    yield from watchdog_rules(settings.watchdog)
    yield from telemetry_rules(settings.telemetry)
    yield from daemon_rules(settings.daemon)
    yield from log_rules(settings.logs)
    yield from people_rules(settings.people)
    yield from notify_rules(settings.notify, settings.people)
    yield from hosts(("agents", "claude", "hosts"), settings.agents.claude.hosts)
