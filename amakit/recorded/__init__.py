"""What was recorded at all: which tables, from when to when, with which holes, by which clocks."""
