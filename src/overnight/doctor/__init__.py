"""Is this machine fit for a night? Every thing that a night needs, looked at; and a canary that proves it."""
