"""Data: the labelled data set, how it is read and split, and image files as pixels."""
