"""Read-only views of what happened, for command line, dashboard and brief. Values only; whoever asks draws them."""
