"""The command line: a function per command, one file per capability."""
