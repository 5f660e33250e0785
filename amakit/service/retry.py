"""Asking again, asking for less, and no faster than allowed.

The service lets a user have five queries at once and 200 in 30 seconds, says how long to wait after more, and breaks
off what is too large.  What is done about that is the same for every query, so it stands here.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from amakit.errors import Unanswered

#: What all of it keeps to, in words.
LIMITS = "at most 4 at once and 180 in 30 s, each over at most 15 days; a service gives 500,000 rows or 64 MB each"
#: Times after which a cut makes no sense any more.
_UNITS = {
    "instants": pd.Timedelta(minutes=1), "hours": pd.Timedelta(hours=1), "days": pd.Timedelta(days=1),
    "slices": pd.Timedelta(days=1),
}  # fmt: skip
#: So often is an answer halved by machines: into 256 parts.
_FINEST = 8


@dataclass(frozen=True)
class Patience:
    """How long a query is asked again.

    Attributes
    ----------
    tries : int
        How often at most.
    seconds : float
        After so many seconds not again; nor when the service asks for a pause that ends later.
    sleep : callable
        Waits for so many seconds.
    """

    tries: int = 7
    seconds: float = 300.0
    sleep: Callable[[float], object] = time.sleep

    def call(
        self,
        ask: Callable[[], Any],
        again: Callable[[Unanswered], bool] = lambda error: True,
        retried: Callable[[Unanswered], object] = lambda error: None,
    ) -> Any:
        """Ask until there is an answer.

        Parameters
        ----------
        ask : callable
            One attempt; raises `Unanswered` where another may help.
        again : callable
            Tells of such an error whether to try again.
        retried : callable
            Is told the error before each further attempt.

        Returns
        -------
        object
            What ``ask`` returned.

        Notes
        -----
        Between attempts up to 1, 2, 4 … 60 seconds pass, drawn at random so that those who were refused together
        do not come back together; never less than the service asked for.

        Examples
        --------
        >>> answers = iter([Unanswered("busy", wait=3.0), None])
        >>> def ask():
        ...     error = next(answers)
        ...     if error:
        ...         raise error
        ...     return "done"
        >>> Patience(sleep=lambda seconds: print(seconds >= 3)).call(ask)
        True
        'done'
        """
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
            wait_random_exponential,
        )

        backoff = wait_random_exponential(multiplier=1, max=60)
        attempts = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, Unanswered) and again(error)),
            stop=stop_after_attempt(self.tries) | stop_before_delay(self.seconds),
            wait=lambda state: max(state.outcome.exception().wait, backoff(state)),  # type: ignore[union-attr]
            sleep=self.sleep,  # type: ignore[arg-type]
            before_sleep=lambda state: retried(state.outcome.exception()),  # type: ignore[arg-type, union-attr]
            reraise=True,
        )
        return attempts(ask)


@dataclass
class Pace:
    """Let so many calls through in so many seconds, and the next one when the first of them is that old.

    Attributes
    ----------
    calls : int
        Somewhat under the 200 that are allowed: other tools of the same user ask as well.
    seconds : float
    clock, sleep : callable

    Examples
    --------
    >>> now = [0.0]
    >>> pace = Pace(2, 30, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    >>> for _ in range(5):
    ...     pace()
    >>> now
    [60.0]
    """

    calls: int = 180
    seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _times: deque = field(default_factory=deque, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            if len(self._times) >= self.calls:
                rest = self._times.popleft() + self.seconds - self.clock()
                if rest > 0:
                    self.sleep(rest)
            self._times.append(self.clock())


#: One for the process: the limit is the user's, whatever the number of workspaces.
pace = Pace()


def apart(call: Callable[[], Any], seconds: float, after: Callable[[], object] | None = None) -> Any:
    """Call a function in a thread of its own that nobody has to wait for.

    An answer that drips in byte by byte keeps the client waiting for ever, and a thread that waits cannot be
    interrupted everywhere; this one can be left behind.

    Parameters
    ----------
    call : callable
    seconds : float
        For how long its result is waited for.
    after : callable, optional
        Called at its end, also when nobody waits any more.

    Returns
    -------
    object

    Raises
    ------
    TimeoutError

    Examples
    --------
    >>> apart(lambda: 6 * 7, 10)
    42
    """
    began = time.monotonic()
    future = _started(call, after)
    while not future.done():
        if time.monotonic() - began > seconds:
            raise TimeoutError
        wait([future], timeout=0.5)  # short, so that Ctrl-C gets through on Windows too
    return future.result()


def together(calls: Iterable[Callable[[Callable[[], bool]], Any]], at_once: int) -> list:
    """Make calls side by side; the first that fails ends them all.

    Parameters
    ----------
    calls : iterable of callable
        Each is given a function that tells whether it is still wanted.
    at_once : int

    Returns
    -------
    list
        Their results, in the order of the calls.

    Examples
    --------
    >>> together([lambda wanted, n=n: n * n for n in range(5)], at_once=2)
    [0, 1, 4, 9, 16]
    """
    calls, ended = list(calls), threading.Event()
    if at_once == 1 or len(calls) < 2:
        return [call(lambda: True) for call in calls]
    futures, running = [], set()
    try:
        for call in calls:
            while len(running) >= at_once:
                running = _rest(running)
            futures.append(_started(lambda call=call: call(lambda: not ended.is_set())))
            running.add(futures[-1])
        while running:
            running = _rest(running)
    finally:
        ended.set()
    return [future.result() for future in futures]


def _rest(running):
    done, rest = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return set(rest)


def _started(call, after=None):
    future = Future()

    def run():
        try:
            future.set_result(call())
        except BaseException as error:  # raised again by whoever asks for the result
            future.set_exception(error)
        finally:
            if after is not None:
                after()

    threading.Thread(target=run, daemon=True).start()
    return future


def halves(
    parts: tuple[str, ...],
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
    bits: tuple[int, ...],
    rows: bool = True,
) -> list[tuple[pd.Timestamp | None, pd.Timestamp | None, tuple[int, ...]]]:
    """Cut a question in two whose answers together are the whole one.

    Parameters
    ----------
    parts : tuple of str
        As in `amakit.kql.catalog.Query`.
    start, end : pandas.Timestamp or None
        The time that is asked about.
    bits : tuple of int
        Which share of the machines, as in `amakit.kql.catalog.share`.
    rows : bool
        Whether there were too many rows; otherwise too much to read, which fewer machines do not change.

    Returns
    -------
    list of (pandas.Timestamp, pandas.Timestamp, tuple)
        Start, end and share of each half; empty where there is nothing left to cut.

    Examples
    --------
    >>> from amakit.intervals import window
    >>> w = window("2026-03-01", "2026-03-04")
    >>> [str(a.date()) for a, b, bits in halves(("days", "Computer"), w.start, w.end, ())]
    ['2026-03-01', '2026-03-02']
    >>> halves(("days", "Computer"), w.start, w.start + pd.Timedelta(days=1), ())[1][2]
    (1,)
    """
    kind, *columns = parts
    by_time = []
    if start is not None and kind in _UNITS and not bits:
        unit = _UNITS[kind]
        middle = (start + (end - start) / 2).floor(unit)
        middle = middle if middle > start else middle + unit
        if middle < end:
            by_time = [(start, middle, bits), (middle, end, bits)]
    by_machine = []
    if columns and rows and len(bits) < _FINEST:
        by_machine = [(start, end, (*bits, bit)) for bit in (0, 1)]
    return (by_machine or by_time) if kind == "slices" and rows else (by_time or by_machine)
