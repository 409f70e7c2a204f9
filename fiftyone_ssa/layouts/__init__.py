"""The data sets that SSA was published on: their names, their files, and how their ground truth is held."""
