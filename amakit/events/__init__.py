"""Were the rows of event sources picked up after all?  Counts, the rhythm of each source, and a verdict."""
