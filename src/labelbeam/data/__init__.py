"""Data: readers of data set formats, and image files as pixels."""
