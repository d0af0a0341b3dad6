"""Pages: self-contained HTML that opens from disk without a network."""
