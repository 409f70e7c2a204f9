"""The documentation as a site: what mkdocs calls, and the pages that are made from the code."""
