"""The run: its configuration, its directory, and the tagger, evaluation, export and extension that work on it."""
