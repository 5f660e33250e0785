"""What is asked of a workspace, coarse to fine."""
