"""Azure's query service: addresses, sign-in, queries, what its answers mean, retries and limits of rate."""
