"""One file that answers: a notebook is run with nobody watching, and becomes a page."""

from amakit.report.parameters import Parameters, parameters
from amakit.report.request import Request, notebooks
from amakit.report.run import report

__all__ = ["Parameters", "Request", "notebooks", "parameters", "report"]
