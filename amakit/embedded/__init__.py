"""What KQL the embedded engine has beyond duckdb-kql."""
