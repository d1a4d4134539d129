"""systemd user units for daemon and watchdog.

Only the main process is ended with the unit (`KillMode=process`): the wardens of runs, which live in the same control
group, outlive a restart and an upgrade. What would confine the daemon further (`NoNewPrivileges`, `Protect...`,
`Private...`, `RestrictNamespaces`, `MemoryDenyWriteExecute`, filters of system calls) is inherited by the boxes that
runs live in, and would keep them from being made; so it is left to the boxes.
"""

from __future__ import annotations

import re

from overnight.service.plan import AGAIN_S, ENDS_S, KEEPER, MORE_STARTS, PARTS, Manager, Plan

#: The unit of each part.
UNITS = {"daemon": "overnight.service", "watchdog": "overnight-watchdog.service"}


def units(plan: Plan) -> dict[str, str]:
    """File name -> text."""
    return {UNITS[part]: _unit(plan, part) for part in PARTS}


def _unit(plan: Plan, part: str) -> str:
    environment = {**plan.environment, KEEPER: Manager.SYSTEMD.value}
    service = [
        *_KIND[part],
        *([f"WatchdogSec={plan.silent}"] if part == "daemon" else []),
        f"ExecStart={_line(plan.argv(part))}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(environment.items())),
        "WorkingDirectory=/",
        "",
        "# It ends for good when it was asked to, when the settings are wrong (2) or when it is refused (3).",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 3",
        f"RestartSec={AGAIN_S}",
        f"TimeoutStopSec={ENDS_S}",
        "# Runs go on.",
        "KillMode=process",
        "# A box that runs out of memory is no reason to stop the daemon.",
        "OOMPolicy=continue",
        "UMask=0077",
        "LimitCORE=0",
    ]
    lines = [
        "[Unit]",
        f"Description={PARTS[part]}",
        "StartLimitIntervalSec=3600",
        f"StartLimitBurst={plan.restarts + MORE_STARTS}",
        "",
        "[Service]",
        *service,
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


_KIND = {
    # It says that it is ready, lives and ends. How long a start may take is its own affair: it waits after crashes.
    "daemon": [
        "Type=notify", "NotifyAccess=main", "TimeoutStartSec=infinity", "# Long after Overnight's own watchdog.",
        "WatchdogSignal=SIGKILL",
    ],
    "watchdog": ["Type=exec"],
}  # fmt: skip


def _line(argv: list[str]) -> str:
    """A command, in which systemd knows variables too, though not in the program's own path."""
    program, *words = argv
    return " ".join([_quoted(program), *(_quoted(word.replace("$", "$$")) for word in words)])


def _quoted(text: str) -> str:
    """As systemd reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return text if re.fullmatch(r"[A-Za-z0-9_./=:-]+", text) else f'"{escaped}"'
