"""Scenes: the embedded data set, drawn by the program, whose label distribution is known."""
