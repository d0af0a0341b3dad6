"""Decoding: searches over label prefixes. They know a step function, not a model."""
