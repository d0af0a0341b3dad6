"""Analyses: what a trained model knows of labels."""
