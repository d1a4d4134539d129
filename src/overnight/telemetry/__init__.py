"""Spans and metrics for OpenTelemetry, drawn from the records afterwards, by a process of its own.

Nothing here is called by what does the work: an exporter reads the journal and the runs' folders as any reader does. So
a collector that is slow, dead or hostile costs no task anything, and what could not be sent now is sent later.
"""
