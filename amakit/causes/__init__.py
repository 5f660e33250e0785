"""Why an agent was away: what was recorded beside each outage, and the cause that it shows."""
