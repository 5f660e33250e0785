"""Azure's query service: two ways to ask, what answers mean, retries and limits of rate."""
