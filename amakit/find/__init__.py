"""What happened: versions, outages, lost samples."""
