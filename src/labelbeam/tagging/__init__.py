"""Jobs of tagging: many files, a journal that survives a kill, outputs, sidecars, stored vectors, a cluster."""
