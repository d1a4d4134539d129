"""Judges: models of other families that see a result's evidence and nothing else."""
