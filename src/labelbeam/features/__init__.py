"""Features: what a frozen encoder says of each image, computed once and kept on disk."""
