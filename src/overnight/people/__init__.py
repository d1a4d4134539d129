"""People: what they are asked, and their decisions, which can't be forged, repeated or mistaken."""
