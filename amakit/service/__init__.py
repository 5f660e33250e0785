"""Azure's query service: sign-in, two ways to ask, what answers mean, retries and limits of rate."""
