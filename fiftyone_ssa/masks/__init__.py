"""Masks as run-length codes, and what is computed on them: pure functions on arrays."""
