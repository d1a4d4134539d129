"""The recorded model traffic and tool calls of a run: how it is written, read, checked, matched and compared."""
