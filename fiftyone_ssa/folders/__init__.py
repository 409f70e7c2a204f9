"""Folders in, folders out, no database: images with SA-1B style masks, results in the published form."""
