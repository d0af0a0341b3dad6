"""Metrics: counts first, ratios last. NumPy only; knows nothing of models, files of images or torch."""
