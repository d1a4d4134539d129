"""The HTTP API: what the command line can do, for other programs. The pages stand on it."""
