"""Jobs killed at seeded moments, which must go on with nothing lost, doubled or half done: `python -m tools.kills`."""
