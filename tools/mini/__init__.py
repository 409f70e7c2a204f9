"""Trains the small models of the quickstart on drawn scenes: `python -m tools.mini --help`."""
