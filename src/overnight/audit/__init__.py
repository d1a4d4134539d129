"""The tamper-evident record of every tool call: written before the call happens, and after its result."""
