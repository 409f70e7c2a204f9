"""Names for masks: votes, SSA, SSA-engine, and the run that feeds them."""
