"""Data sets for other tools: one file a format."""
