"""Tasks of the Windows Task Scheduler that start daemon and watchdog inside WSL when the person logs on.

A distribution is shut down when no program started from Windows runs in it, whatever its own services do. So each task
keeps a `wsl.exe` in the foreground.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET

from overnight.errors import BadInput
from overnight.service.plan import KEEPER, PARTS, Manager, Plan

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
#: The name of each part's task.
TASKS = {part: f"Overnight {part}" for part in PARTS}


def tasks(plan: Plan) -> dict[str, str]:
    """File name -> text. Raises BadInput where the distribution is not known."""
    if not plan.distro:
        problem = "Which WSL distribution is meant is not known: WSL_DISTRO_NAME is not set. Run this inside of it."
        raise BadInput(problem=problem)
    return {f"overnight-{part}.xml": _text(_task(plan, part)) for part in PARTS}


def _text(task: ET.Element) -> str:
    ET.indent(task)
    return f'<?xml version="1.0" encoding="UTF-16"?>\n{ET.tostring(task, encoding="unicode")}\n'


def _task(plan: Plan, part: str) -> ET.Element:
    task = ET.Element("Task", {"version": "1.2", "xmlns": NAMESPACE})
    _add(task, "RegistrationInfo", Description=PARTS[part], URI=f"\\{TASKS[part]}")
    trigger = _add(ET.SubElement(task, "Triggers"), "LogonTrigger", Enabled="true")
    ET.SubElement(trigger, "Delay").text = "PT10S"
    principal = _add(
        ET.SubElement(task, "Principals"), "Principal", LogonType="InteractiveToken", RunLevel="LeastPrivilege"
    )
    principal.set("id", "Author")
    settings = _add(
        task, "Settings", MultipleInstancesPolicy="IgnoreNew", DisallowStartIfOnBatteries="false",
        StopIfGoingOnBatteries="false", AllowHardTerminate="true", StartWhenAvailable="true",
        ExecutionTimeLimit="PT0S", Enabled="true", Hidden="true",
    )  # fmt: skip
    _add(settings, "RestartOnFailure", Interval="PT1M", Count="20")
    actions = ET.SubElement(task, "Actions", {"Context": "Author"})
    _add(actions, "Exec", Command="wsl.exe", Arguments=_arguments(plan, part))
    return task


def _arguments(plan: Plan, part: str) -> str:
    """`env` sets what Windows' environment does not bring along; no shell reads any of it."""
    environment = {**plan.environment, KEEPER: Manager.WSL.value}
    pairs = [f"{name}={value}" for name, value in sorted(environment.items())]
    return subprocess.list2cmdline(
        ["--distribution", plan.distro, "--cd", "/", "--exec", "/usr/bin/env", *pairs, *plan.argv(part)]
    )


def _add(above: ET.Element, name: str, **children: str) -> ET.Element:
    made = ET.SubElement(above, name)
    for child, text in children.items():
        ET.SubElement(made, child).text = text
    return made
