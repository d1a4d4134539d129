"""All attacks."""

from __future__ import annotations

from escape_files import KNOBS, PLANTS, READS, WRITES
from escape_git import GIT
from escape_kernel import KERNEL, RESOURCES
from escape_network import NETWORK
from escape_processes import PROCESSES

ATTACKS = (*READS, *WRITES, *PLANTS, *KNOBS, *GIT, *PROCESSES, *NETWORK, *KERNEL, *RESOURCES)
ROUNDS = tuple(dict.fromkeys(attack.round for attack in ATTACKS))
assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
