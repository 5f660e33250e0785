"""The query language: the packaged queries, Python values as KQL literals, values in a KQL cell."""
