"""The machine's settings: where they come from, what they say, and how they bound a repo's policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.boxes.settings import BoxSettings
from overnight.config import Settings, bound, parse_settings, read_settings, settings_path, state_home
from overnight.config.settings import Bounds, StallBounds, Work
from overnight.durable.pools import Pool, Rate
from overnight.errors import SettingsInvalid
from overnight.missions.policy import BoxLevel, BoxPolicy, Check, Limits, Policy
from overnight.missions.stall import StallLimits
from overnight.missions.units import Duration, Size

WHOLE = """\
home = "~/state"

[work]
total = 4
per_repo = 2
rate = "10 per 1h"

[keep]
days = 7

[box]
tools = ["~/.pyenv/versions/3.12"]
tmp = "256MiB"

[agents.claude]
route = "gateway"
retries = 3
answer_limit = "2m"
env = { LANG = "C.UTF-8" }

[bounds]
box = "os"
wall = "4h"
attempts = 5
egress = ["packages.example.org", "*.mirror.example.org"]
"""


def test_every_part_of_a_file_reaches_the_settings() -> None:
    """The rooms' own settings and the machine's are one file."""
    made = parse_settings(WHOLE.encode(), "c")
    assert made.work == Work(total=4, per_repo=2, rate="10 per 1h")
    assert made.work.pool() == Pool(total=4, per_key=2, rate=Rate(10, 3600))
    assert (made.keep.days, made.box.tools, made.box.tmp) == (7, ("~/.pyenv/versions/3.12",), Size(256 * 1024**2))
    assert isinstance(made.box, BoxSettings)
    claude = made.agents.claude
    assert (claude.route, claude.retries, claude.answer_limit) == ("gateway", 3, Duration(120))
    assert claude.env == {"LANG": "C.UTF-8"}
    assert made.bounds.egress == ("packages.example.org", "*.mirror.example.org")


def test_no_rate_is_no_limit() -> None:
    """What is absent does not limit."""
    assert Settings().work.pool() == Pool(total=2, per_key=1, rate=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[work]\ntotl = 3", "2:1: unknown key `totl` in [work]; did you mean `total`?"),
        ('[routing.tiers]\nsmal = "m"', "2:1: unknown key `smal` in [routing.tiers]; did you mean `small`?"),
        ("total = 3", "1:1: unknown key `total` at the top of the file; it belongs in [work]"),
        ("[work]\ntotal = 0", "2:9: `work.total` must be a whole number from 1 to 1000, not 0"),
        ('[work]\nrate = "10/h"', '2:8: `work.rate` must be a rate such as "10 per 1h", not "10/h"'),
        ('[work]\nrate = "10 per 0s"', '2:8: `work.rate` must be a rate such as "10 per 1h", not "10 per 0s"'),
        ("[box]\ntmp = 5", '2:7: `box.tmp` must be a size in quotes, such as "64MiB" or "2GB", not 5'),
        (
            '[box]\nname = "docker"',
            '2:8: `box.name` must be one of "bubblewrap", "container", "landlock", "none", not "docker"',
        ),
        ('home = "state"', '1:8: `home` must be absolute or start with `~/`, not "state"'),
        ("[agents.claude]\ntools = []", "2:9: `agents.claude.tools` must be a list with at least 1 item, not []"),
        (
            '[agents.claude]\nroute = "free"',
            '2:9: `agents.claude.route` must be one of "auto", "direct", "gateway", "local", not "free"',
        ),
        ("[agents.claud]\n", "1:2: unknown key `claud` in [agents]; did you mean `claude`?"),
        (
            '[bounds]\negress = ["*"]',
            '2:11: "*" would open the whole network: name the hosts, such as "registry.example.org"',
        ),
    ],
)
def test_bad_settings_are_refused_with_the_place_and_the_remedy(text: str, message: str) -> None:
    """The same quality as for a policy: line, column, what would be right."""
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(text.encode(), "config.toml")
    assert str(caught.value) == f"config.toml:{message}"


def test_running_without_a_box_is_confirmed_twice() -> None:
    """`none` by name is not enough."""
    with pytest.raises(SettingsInvalid, match="confirm it with `i_know = true`"):
        parse_settings(b'[box]\nname = "none"', "c")
    assert parse_settings(b'[box]\nname = "none"\ni_know = true', "c").box.name == "none"


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    """Nothing has to be configured."""
    assert read_settings({"HOME": str(tmp_path)}) == Settings()


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A typing error in OVERNIGHT_CONFIG does not silently mean the defaults."""
    with pytest.raises(SettingsInvalid, match="OVERNIGHT_CONFIG names this file"):
        read_settings({"OVERNIGHT_CONFIG": str(tmp_path / "missing.toml")})


def test_a_file_that_cant_be_read_is_refused(tmp_path: Path) -> None:
    """Unreadable settings are not absent settings."""
    with pytest.raises(SettingsInvalid, match="can't be read: Is a directory"):
        read_settings({"OVERNIGHT_CONFIG": str(tmp_path)})


def test_the_file_is_found_where_the_standard_says(tmp_path: Path) -> None:
    """OVERNIGHT_CONFIG, then XDG_CONFIG_HOME, then ~/.config; a relative XDG folder is ignored."""
    home = {"HOME": "/h"}
    assert settings_path(home) == Path("/h/.config/overnight/config.toml")
    assert settings_path({**home, "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config/overnight/config.toml")
    assert settings_path({**home, "XDG_CONFIG_HOME": "/x"}) == Path("/x/overnight/config.toml")
    assert settings_path({**home, "XDG_CONFIG_HOME": "/x", "OVERNIGHT_CONFIG": "/y.toml"}) == Path("/y.toml")
    file = tmp_path / "overnight" / "config.toml"
    file.parent.mkdir()
    file.write_text("[keep]\ndays = 3\n")
    assert read_settings({"XDG_CONFIG_HOME": str(tmp_path)}).keep.days == 3


def test_the_state_folder_is_found_where_the_standard_says() -> None:
    """OVERNIGHT_HOME, then `home`, then XDG_STATE_HOME, then ~/.local/state."""
    home = {"HOME": "/h"}
    assert state_home(Settings(), home) == Path("/h/.local/state/overnight")
    assert state_home(Settings(), {**home, "XDG_STATE_HOME": "/x"}) == Path("/x/overnight")
    assert state_home(Settings(home="~/s"), {**home, "XDG_STATE_HOME": "/x"}) == Path("/h/s")
    assert state_home(Settings(home="/s"), home) == Path("/s")
    assert state_home(Settings(home="/s"), {**home, "OVERNIGHT_HOME": "/o"}) == Path("/o")
    assert state_home(Settings(), {"OVERNIGHT_HOME": "o"}) == Path.cwd() / "o"


# -- bounds ---------------------------------------------------------------------------------------------------

GREEDY = Policy(
    checks={"test": Check(run="make test", egress=("packages.example.org", "evil.example.net"))},
    limits=Limits(wall=Duration(86400), attempts=20),
    box=BoxPolicy(minimum=BoxLevel.NONE, egress=("a.mirror.example.org", "mirror.example.org")),
)


def test_a_repo_gets_no_more_than_the_machine_allows() -> None:
    """Box raised, time and attempts capped, hosts dropped, and each of it said with the key that decides."""
    policy, notes = bound(GREEDY, parse_settings(WHOLE.encode(), "c"))
    assert policy.box == BoxPolicy(minimum=BoxLevel.OS, egress=("a.mirror.example.org",))
    assert (policy.limits.wall, policy.limits.attempts) == (Duration(14400), 5)
    assert policy.checks["test"].egress == ("packages.example.org",)
    assert notes == (
        "checks.test.egress is without evil.example.net: this machine's settings allow no more (`bounds.egress`)",
        "limits.wall is 4h00m, not 1d0h: this machine's settings allow no more (`bounds.wall`)",
        "limits.attempts is 5, not 20: this machine's settings allow no more (`bounds.attempts`)",
        "box.minimum is 'os', not 'none': this machine's settings allow no less (`bounds.box`)",
        "box.egress is without mirror.example.org: this machine's settings allow no more (`bounds.egress`)",
    )


@pytest.mark.parametrize("name", StallBounds.__struct_fields__)
def test_the_watch_is_no_more_patient_than_the_machine_allows(name: str) -> None:
    """Each threshold is capped by its own bound, and said so; a stricter repo is left as it is."""
    machine = parse_settings(f"[bounds.stall]\n{name} = 150\n".encode(), "c")
    asked = Policy(limits=Limits(stall=replace(StallLimits(), **{name: 200})))
    policy, notes = bound(asked, machine)
    assert getattr(policy.limits.stall, name) == 150
    assert notes == (
        f"limits.stall.{name} is 150, not 200: this machine's settings allow no more (`bounds.stall.{name}`)",
    )
    strict = Policy(limits=Limits(stall=replace(StallLimits(), **{name: 110})))
    assert bound(strict, machine) == (strict, ())


def test_a_modest_repo_is_left_as_it_is() -> None:
    """Bounds never widen: a stronger box and shorter limits stay."""
    modest = Policy(limits=Limits(wall=Duration(60), attempts=1), box=BoxPolicy(minimum=BoxLevel.MICROVM))
    assert bound(modest, parse_settings(WHOLE.encode(), "c")) == (modest, ())


def test_by_default_no_repo_reaches_the_network() -> None:
    """Hosts need two people's word, the repo's and the machine's."""
    policy, notes = bound(GREEDY, Settings())
    assert policy.box.egress == policy.checks["test"].egress == ()
    assert len(notes) == 4


HOSTS = st.lists(
    st.sampled_from(["a.org", "b.a.org", "*.a.org", "*.b.a.org", "xa.org", "c.b.a.org", "localhost"]), unique=True
).map(tuple)
POLICIES = st.builds(
    Policy,
    checks=st.dictionaries(st.sampled_from(["x", "y"]), st.builds(Check, run=st.just("r"), egress=HOSTS)),
    limits=st.builds(Limits, attempts=st.integers(1, 20), wall=st.floats(1, 1e6).map(Duration)),
    box=st.builds(BoxPolicy, minimum=st.sampled_from(BoxLevel), egress=HOSTS),
)
BOUNDS = st.builds(
    Bounds,
    box=st.sampled_from(BoxLevel),
    wall=st.none() | st.floats(1, 1e6).map(Duration),
    attempts=st.none() | st.integers(1, 20),
    egress=HOSTS,
)


@given(POLICIES, BOUNDS)
@settings(deadline=None)
def test_a_bounded_policy_stays_within_both(policy: Policy, bounds: Bounds) -> None:
    """Never more than the repo asked, never more than the machine allows; a second time changes nothing."""
    machine = Settings(bounds=bounds)
    got, notes = bound(policy, machine)
    strength = tuple(BoxLevel)
    assert strength.index(got.box.minimum) == max(strength.index(policy.box.minimum), strength.index(bounds.box))
    assert got.limits.wall == min(policy.limits.wall, bounds.wall or policy.limits.wall)
    assert got.limits.attempts == min(policy.limits.attempts, bounds.attempts or 20)
    assert set(got.box.egress) <= set(policy.box.egress)
    assert all(any(h == p or (p[0] == "*" and h.endswith(p[1:])) for p in bounds.egress) for h in got.box.egress)
    assert bool(notes) == (got != policy)
    assert bound(got, machine) == (got, ())
