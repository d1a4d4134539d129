"""Sequencing that survives anything: a journal, flows of named steps, signals, timers, pools. Knows nothing of agents."""
