"""The pipelines as a web service: `fiftyone-ssa serve`. Needs FastAPI and uvicorn (the extra `serve`), not FiftyOne."""
