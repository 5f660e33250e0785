"""The command line: all commands, and how a run may end."""

import errno
import logging
import os
import signal
import sys
import threading

import click

from amakit import __version__
from amakit.commands import analysis, azure, workspace
from amakit.errors import AmakitError, say

#: Of writing: a full disk, a quota, a broken disk, a limit on the size of files.
_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EIO", "EFBIG")}
#: Signals that asked for the end of this run.
_HEARD: list[int] = []


class _Commands(click.Group):
    """Commands whose known failures are one sentence on stderr: status 1, or 2 for wrong use."""

    def invoke(self, context):  # noqa: C901 - one branch for each way to end
        try:
            answer = self._heeding_signals(context)
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk is noticed here, or not before Python ends
        except AmakitError as error:
            if context.params["debug"]:
                raise
            say(f"amakit: {error}", error=True)
            if error.place:
                say(error.place, error=True)
            context.exit(error.status)
        except KeyboardInterrupt:
            if context.params["debug"]:
                raise
            say("amakit: interrupted; what was being written is left out, everything else is as it was", error=True)
            context.exit(130)
        except MemoryError:
            if context.params["debug"]:
                raise
            say("amakit: there is not enough memory for this; ask for a shorter window or fewer machines", error=True)
            context.exit(1)
        except OSError as error:
            if context.params["debug"] or error.errno not in _NO_ROOM:
                raise
            # what is left in the buffer goes nowhere, or Python would try it once more at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
            say(f"amakit: there is no room for what is printed or written: {error.strerror}; make some", error=True)
            context.exit(1)
        return answer

    def _heeding_signals(self, context):
        try:
            return super().invoke(context)
        except Exception as error:
            if not _HEARD:
                raise
            # it came in the midst of DuckDB, which has made an error of its own of what was raised
            raise KeyboardInterrupt if _HEARD[0] == signal.SIGINT else SystemExit(128 + _HEARD[0]) from error

    def list_commands(self, context):
        return list(self.commands)  # in the order in which a newcomer meets them


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="amakit")
@click.option("--debug", is_flag=True, help="Show the whole traceback of a failure.")
def main(debug: bool) -> None:
    """Did the agent upgrade lose our logs?

    WORKSPACE is 'demo', a folder of exported tables, a .duckdb file, a Kusto endpoint such as
    http://127.0.0.1:PORT/DATABASE, or the ARM id of a Log Analytics workspace.
    """
    _HEARD.clear()
    if threading.current_thread() is threading.main_thread():  # what is half written is taken away
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup ignores one
                signal.signal(number, _end)


def _end(number, _frame):
    _HEARD.append(number)
    for name in ("asyncio", "papermill"):  # a kernel that dies with its run is no news
        logging.getLogger(name).disabled = True
    if 1 < len(_HEARD) < 4:  # what is half written is being taken away; who insists is heard
        return
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


for _command in (
    workspace.demo,
    workspace.check,
    workspace.query,
    workspace.kql,
    analysis.analyze,
    workspace.snapshot,
    analysis.report,
    azure.releases,
    azure.activity,
    azure.inventory,
    analysis.cache,
):
    main.add_command(_command)
