"""Who is asked, in which cloud, and in whose name: addresses, clouds, credentials."""
