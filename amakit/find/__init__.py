"""What happened: versions, outages, lost samples, causes, and whether log events were picked up."""
