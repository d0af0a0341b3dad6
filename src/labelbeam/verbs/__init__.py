"""Verbs: what a user does. File name = command = function; nothing imports from here but the command line."""
