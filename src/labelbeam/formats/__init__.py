"""Formats: one file per layout that labelled images come in; each reads it to a data set, most write it too."""
