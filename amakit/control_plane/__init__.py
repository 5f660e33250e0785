"""The control plane, Azure Resource Manager: the activity log, and the agent versions deployed in a region."""
