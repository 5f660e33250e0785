"""A synthetic workspace: a fleet whose agents upgrade, fail, roll back and are stopped, with the truth beside it."""

from amakit.demo.folder import cached, write
from amakit.demo.machines import fleet

__all__ = ["cached", "fleet", "write"]
