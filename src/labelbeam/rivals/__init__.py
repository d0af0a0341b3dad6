"""Rivals: models of label statistics without a network, to compare the label model's conditionals with."""
