"""The stories: straight-line code over ports. Read one from top to bottom to know what happens."""
