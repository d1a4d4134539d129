"""Where runs happen: on this machine, one warden process each."""
