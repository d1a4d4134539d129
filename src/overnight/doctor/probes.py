"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from overnight.doctor import forge, judges, machine, notifier, programs, state, watching
from overnight.doctor.look import Probe

PROBES: tuple[tuple[str, Probe], ...] = (
    ("python", programs.python),
    ("programs", programs.programs),
    ("git", programs.git),
    ("identity", programs.identity),
    ("settings", state.settings),
    ("claude", programs.claude),
    ("login", programs.login),
    ("judges", judges.judges),
    ("forge", forge.forge),
    ("box", programs.box),
    ("seccomp", machine.seccomp),
    ("limits", machine.limits),
    ("disk", machine.disk),
    ("inodes", machine.inodes),
    ("filesystem", machine.filesystem),
    ("clock", machine.clock),
    ("loopback", machine.loopback),
    ("journal", state.journal),
    ("audit", state.audit),
    ("daemon", state.daemon),
    ("notifier", notifier.notifier),
    ("watchdog", watching.watchdog),
    ("telemetry", watching.telemetry),
    ("sleep", machine.sleep),
    ("power", machine.power),
    ("canary", state.canary),
)
