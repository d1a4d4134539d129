"""Boxes: ways to confine a process tree. Two adapters of the port `Box`: bubblewrap and none."""
