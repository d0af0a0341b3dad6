"""Searches over label sequences: prefix trie, beam search, certified best path, marginals with bounds.

Knows labels as ids and a model only as a `LabelStep`; knows no image, no encoder, no torch. In the data
path it stands between the image row (`embed`) and the decision (`decide`).
"""
