"""A person's tagging project: photographs, what was decided of them, and how to take it back; one SQLite file."""
