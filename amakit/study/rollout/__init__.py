"""Does a fleet follow its releases: which are known, how late it takes them, and who is left behind."""
