"""Operators of KQL that duckdb-kql has not, or not in every form, as steps that it has."""
