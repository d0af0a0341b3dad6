"""Shards of WebDataset: which files, which samples in them, which of their members hold labels."""
