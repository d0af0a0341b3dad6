"""The service: a run's answers over HTTP. Knows the tagger and web frameworks, no command line."""
