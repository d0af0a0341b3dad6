"""Files of feature vectors with or without labels: a reader a file type, and what they all return (`table`).

May import `data`, `labels` and the cells of `formats.tables`; knows no model. `formats.vectors` chooses among them.
"""
