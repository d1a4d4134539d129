"""Boxes: ways to confine a process tree. Adapters of the port `Box`: bubblewrap, Landlock and none."""
