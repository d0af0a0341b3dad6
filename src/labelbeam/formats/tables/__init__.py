"""Rows of labels, by the million: what CSV files and the metadata beside images have in common."""
