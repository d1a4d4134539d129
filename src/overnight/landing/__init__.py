"""Git on this machine: worktrees, private git dirs, checks on the exact commit, and a merge queue."""
