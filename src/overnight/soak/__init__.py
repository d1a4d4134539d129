"""`overnight soak`: the whole system at work for a while, with faults on a schedule, and a verdict about what it promises.

Everything is real but the model: the daemon, the wardens, the box, git, the watchdog and the agents' programs. What is
judged comes from git, from the journal and from the model server's own log, which know nothing of each other.
"""
