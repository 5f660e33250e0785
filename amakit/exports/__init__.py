"""The ways of exporting logs into files: which files make a table, in which form, and which row cannot be read."""
