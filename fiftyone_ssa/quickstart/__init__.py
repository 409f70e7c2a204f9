"""Both pipelines on drawn scenes with small trained models."""
