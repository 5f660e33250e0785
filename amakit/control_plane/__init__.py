"""The control plane, Azure Resource Manager: the activity log, an inventory, and the agent versions of a region."""
