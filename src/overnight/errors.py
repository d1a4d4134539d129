"""Every error that Overnight raises on purpose, as one tree.

OvernightError
├── BadInput                    the person can mend it; exit code 2
│   ├── NotARepository
│   ├── EmptyRepository
│   ├── UnknownRepo
│   ├── UnknownTask
│   ├── UnknownAgent
│   ├── PolicyMissing
│   ├── PolicyInvalid
│   ├── RunbookInvalid
│   ├── SettingsInvalid
│   ├── BadUnit
│   ├── BadState
│   ├── NotDecided
│   ├── NoCassette
│   ├── ExtraMissing
│   └── NotConfirmed
├── Refused                     a bound would be broken; exit code 3
│   ├── NotYours
│   ├── InsideRun
│   ├── NetworkFileSystem
│   ├── StateNotWritable
│   ├── JournalNewer
│   ├── JournalBroken
│   ├── IndexNewer
│   ├── IndexBroken
│   ├── AuditKeyUnusable
│   ├── PeopleKeyUnusable
│   ├── CassetteBroken          exit code 5
│   ├── BackupBroken            exit code 5
│   ├── AlreadyServed
│   └── AlreadyRunning
├── Unavailable                 the outside is not there; the task holds, no attempt is spent
│   ├── DaemonUnreachable
│   │   └── DaemonSilent
│   ├── BoxUnavailable
│   ├── AgentUnavailable
│   ├── CannotListen
│   ├── NotDelivered
│   ├── TelemetryRefused
│   └── RepositoryGone
└── GitFailed                   git said no where it should not have

A class's docstring is its message: it is formatted with the fields the error was raised with, and names
the next step.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OvernightError(Exception):
    """Overnight could not do this."""

    exit_code: ClassVar[int] = 1

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**fields))


class BadInput(OvernightError):
    """{problem}"""

    exit_code = 2


class NotARepository(BadInput):
    """{path} is not a git repository. Run `git init` there, or name another folder."""


class EmptyRepository(BadInput):
    """{path} has no commit yet. Commit something on `{target}`, then try again."""


class UnknownRepo(BadInput):
    """No repo is registered as {name!r}{hint}. `overnight repo list` shows them; `overnight repo add PATH` adds one."""


class UnknownTask(BadInput):
    """No task is called {task!r}{hint}. `overnight status` lists them."""


class UnknownAgent(BadInput):
    """No agent is called {agent!r}. Known: {known}."""


class PolicyMissing(BadInput):
    """`overnight.toml` is not on branch {target!r} of {path}. `overnight init` there writes one, and only what
    is committed counts: `git add overnight.toml && git commit`."""


class PolicyInvalid(BadInput):
    """{where}: {problem}"""


class RunbookInvalid(BadInput):
    """{where} is no runbook that can be carried out. Mend it and commit it:{problems}"""


class SettingsInvalid(BadInput):
    """{where}: {problem}"""


class BadUnit(BadInput):
    """{value!r} is not a {kind}: write it with its unit, such as {example}."""


class BadState(BadInput):
    """{task} is {state}: {verb} does not apply. {next}"""


class NotDecided(BadInput):
    """Nothing was decided: {words}. {next}"""


class NoCassette(BadInput):
    """There is no recording of {run}: {why}. Only runs whose model traffic passes through the gateway are recorded, while `cassette.record` is on."""


class ExtraMissing(BadInput):
    """{what} needs what is not installed: pip install '{extra}'"""


class NotConfirmed(BadInput):
    """{what} must be confirmed: {how}."""


class Refused(OvernightError):
    """{problem}"""

    exit_code = 3


class NotYours(Refused):
    """{person} may not do that: `{right}` is missing in `people.{person}.may` of the settings."""


class InsideRun(Refused):
    """This was started by run {run}. What a run does is decided by people: type it at a terminal of your own."""


class NetworkFileSystem(Refused):
    """{path} lies on a network file system ({kind}), where SQLite's locks do not hold.
    Set OVERNIGHT_HOME to a local folder."""


class StateNotWritable(Refused):
    """The state folder {path} can't be written: {reason}.
    Free some space or mend its permissions, or set OVERNIGHT_HOME to another folder."""


class JournalNewer(Refused):
    """The journal has schema {found}, this Overnight knows up to {known}. Install the newer Overnight again."""


class JournalBroken(Refused):
    """The journal's chain breaks at event {seq}: {problem}. Keep {path} as it is and look at what wrote to it."""


class IndexNewer(Refused):
    """The index of logs {path} has schema {found}, this Overnight knows up to {known}. Install the newer Overnight again."""


class IndexBroken(Refused):
    """The index of logs {path} can't be read: {reason}. Move it away and it is made anew, of the logs that are still
    there; what only the index remembers is lost then."""


class AuditKeyUnusable(Refused):
    """The key that signs the audit's checkpoints, {path}, can't be used: {reason}.
    Put it back from a copy, or move the folder that it lies in away to begin a new audit."""


class PeopleKeyUnusable(Refused):
    """The key that signs approvals, {path}, can't be used: {reason}.
    Mend that, or move the file away: a new one is made, and what was signed with the old one is void."""


class CassetteBroken(Refused):
    """{path} is not as it was written: {problem}. It is not replayed. If nobody touched it, look at the disk."""

    exit_code = 5


class BackupBroken(Refused):
    """{path} can't be restored: {problem}. Nothing was put in place. If nobody touched it, look at the disk, and take
    another backup."""

    exit_code = 5


class AlreadyRunning(Refused):
    """Another Overnight (process {pid}) holds {path}. `overnight status` talks to it; `overnight down` ends it."""


class AlreadyServed(Refused):
    """The dashboard of this state folder is served already, at {url} (process {pid}). End that one first."""


class Unavailable(OvernightError):
    """{problem}"""

    exit_code = 4


class DaemonUnreachable(Unavailable):
    """The daemon at {path} does not answer. `overnight up` starts one."""


class DaemonSilent(DaemonUnreachable):
    """The daemon at {path} was asked and gave no answer. It may still do it: look with `overnight status` before you ask
    again. `overnight doctor` says whether it hangs."""


class BoxUnavailable(Unavailable):
    """No box can be had: {reason}. {install}"""


class AgentUnavailable(Unavailable):
    """The agent {agent!r} can't be started: {reason}. {install}"""


class CannotListen(Unavailable):
    """Nothing can be served at {address}, port {port}: {reason}. Choose others with `web.address` and `web.port`."""


class NotDelivered(Unavailable):
    """Telemetry can't be delivered to {where}: {reason}. It is kept and tried again; look at that collector."""


class TelemetryRefused(Unavailable):
    """The collector at {where} refuses these data for good: {reason}. Look at what it says about them."""


class RepositoryGone(Unavailable):
    """The repository {path} is not there any more. Put it back, or `overnight repo remove {name}`."""


class GitFailed(OvernightError):
    """git {command} failed ({code}): {stderr}"""
