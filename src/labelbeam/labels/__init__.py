"""Labels: their names, their order, and the sequences that a label model reads and writes."""
