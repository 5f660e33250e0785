"""``python -m amakit``."""

from amakit.cli import main

main(prog_name="amakit")
