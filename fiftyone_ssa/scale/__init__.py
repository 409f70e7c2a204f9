"""Labels of millions of images: shards in, one process or Ray, Parquet out, queries on what was written."""
