"""Scenes: the embedded data set. Its pictures are drawn by the program and its label distribution is known."""
