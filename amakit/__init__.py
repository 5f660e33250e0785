"""Did the agent upgrade lose our logs?  Analysis of Azure Monitor Agent upgrades with KQL."""

__version__ = "0.1.0"
