"""The three values that a target can have, from import through loss, metrics and export."""

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""UNKNOWN means "nobody looked, or could not tell"; it is never the same as ABSENT."""
