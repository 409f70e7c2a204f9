"""The FiftyOne side: datasets in, labels out, evaluation."""
