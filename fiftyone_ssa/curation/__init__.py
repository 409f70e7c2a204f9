"""A curator's side of named masks: what is counted of them, queued for review, and decided."""
