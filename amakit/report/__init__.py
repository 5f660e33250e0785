"""One file that answers: a notebook is run with nobody watching, and becomes a page."""

from amakit.report.parameters import Parameters, notebooks, parameters
from amakit.report.run import report

__all__ = ["Parameters", "notebooks", "parameters", "report"]
