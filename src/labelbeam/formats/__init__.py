"""Labelled data in the layouts it comes in, one file each (and `NAME_writer`); in folders, what they are made of."""
