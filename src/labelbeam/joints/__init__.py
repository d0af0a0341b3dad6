"""Joints: configuration, the run directory, and the one place that builds objects from configuration."""
