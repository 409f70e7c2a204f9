"""Names for masks: Semantic Segment Anything for FiftyOne."""
