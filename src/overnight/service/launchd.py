"""launchd agents for daemon and watchdog."""

from __future__ import annotations

import plistlib

from overnight.service.plan import AGAIN_S, ENDS_S, KEEPER, PARTS, Manager, Plan

#: The label of each part; its file is called like it.
LABELS = {part: f"local.overnight.{part}" for part in PARTS}


def agents(plan: Plan) -> dict[str, str]:
    """File name -> text."""
    return {f"{LABELS[part]}.plist": plistlib.dumps(_agent(plan, part), sort_keys=False).decode() for part in PARTS}


def _agent(plan: Plan, part: str) -> dict[str, object]:
    return {
        "Label": LABELS[part],
        "ProgramArguments": plan.argv(part),
        "EnvironmentVariables": {**plan.environment, KEEPER: Manager.LAUNCHD.value},
        "WorkingDirectory": "/",
        "RunAtLoad": True,
        # What ends with 0 was asked to, or starting it again would not help.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": AGAIN_S,
        "ExitTimeOut": ENDS_S,
        # Runs go on without the daemon.
        "AbandonProcessGroup": True,
        "ProcessType": "Standard",
        "Umask": 0o077,
    }
