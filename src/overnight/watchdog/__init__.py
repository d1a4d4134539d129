"""The watchdog: a small process of its own that notices when the others are dead, and hangs on nothing itself.

It imports nothing but the standard library and psutil; what could hang (the disk, the network, a command) is done by
threads and processes that it does not wait for.
"""
