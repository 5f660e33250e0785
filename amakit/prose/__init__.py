"""What is said about an analysis, in English and Japanese."""
