"""Functions and aggregates of KQL that duckdb-kql has not, or not in every form: as SQL, or in Python."""
