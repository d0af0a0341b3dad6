"""Models: from features to label sets. The label model of the paper and its simpler rivals."""
