"""What several test files share: Microsoft's own KQL parser, kept running under Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / "kql_parser"


class KqlParser:
    """The official KQL parser, asked line by line."""

    def __init__(self, process):
        self._process = process

    def know(self, tables):
        """Set which tables exist: table to column to KQL type."""
        self._write({"tables": tables})

    def check(self, kql):
        """Give the diagnostics, the literals and the result's columns of a query."""
        self._write({"kql": kql})
        return json.loads(self._process.stdout.readline())

    def _write(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def parser_process():
    """Start Node with the parser once."""
    node = shutil.which("node")
    if node is None or not (_FOLDER / "node_modules" / "@kusto" / "language-service-next").is_dir():
        reason = "the official KQL parser is missing; install Node, then `npm install --prefix tests/kql_parser`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    command = [node, str(_FOLDER / "check.cjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield process
        process.stdin.close()


@pytest.fixture
def kql_parser(parser_process):
    """Give the parser, knowing the tables of Log Analytics."""
    from amakit.schemas import tables

    parser = KqlParser(parser_process)
    parser.know(tables())
    return parser
