"""Answers of trained heads: scores and paths in columns, calibrated, decided, and given to people by name."""
