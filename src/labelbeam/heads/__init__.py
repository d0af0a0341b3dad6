"""Trained heads as arrays: features in, scores, rows and sets out; NumPy only."""
