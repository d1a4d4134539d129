"""What a signal that ended an agent says about the cause."""

from __future__ import annotations

import signal

from overnight.missions.run import FailureClass

#: Signals by which a program ends itself.
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP})


def signalled(code: int) -> tuple[FailureClass, str] | None:
    """Class and sentence for an exit code that tells of a signal, negative or 128 + signal; None for others.

    A crash is the agent's own fault. Any other signal came from outside: a shutdown, the memory killer.
    """
    number = -code if code < 0 else code - 128
    if number <= 0 or number not in signal.valid_signals():
        return None
    name = signal.Signals(number).name if number < signal.SIGRTMIN else f"signal {number}"
    if number in _CRASHES:
        return FailureClass.AGENT, f"It crashed ({name})."
    return FailureClass.MACHINE, f"It was ended from outside ({name})."
