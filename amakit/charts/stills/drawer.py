"""Still pictures that are drawn while something else goes on: a notebook that runs in its kernel leaves time for it."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from amakit.charts.stills.files import picture


@contextmanager
def drawing_thread() -> Iterator[ThreadPoolExecutor]:
    """Hold a thread for `Drawer`, one for the whole process: matplotlib draws one picture at a time.

    Yields
    ------
    concurrent.futures.ThreadPoolExecutor
    """
    thread = ThreadPoolExecutor(1, "amakit-drawer")
    try:
        yield thread
    finally:
        thread.shutdown(cancel_futures=True)


class Drawer:
    """Draws the charts of one page: those that it is shown at once, any other when it is asked for.

    Parameters
    ----------
    forms : iterable of {'svg', 'png'}
        In which the charts that are shown will be asked for.
    thread : concurrent.futures.ThreadPoolExecutor
        From `drawing_thread`.
    first : callable, optional
        Is called in the thread when the first charts are shown, also where these are none.

    Examples
    --------
    >>> bar = {"data": [{"type": "bar", "x": [3, 5], "y": ["web", "app"], "orientation": "h"}], "layout": {}}
    >>> with drawing_thread() as thread:
    ...     drawer = Drawer(["svg"], thread)
    ...     drawer.show([bar])
    ...     drawer.draw(bar, "svg", prefix_of(1))[:5]
    b'<svg '
    """

    def __init__(
        self, forms: Iterable[str], thread: ThreadPoolExecutor, first: Callable[[], object] | None = None
    ) -> None:
        self._forms, self._thread, self._first = sorted(set(forms)), thread, first
        self._drawn: dict[tuple[str, str, str], Future[bytes]] = {}
        self._shown = 0

    def show(self, charts: Iterable[dict]) -> None:
        """Begin to draw the next charts of a page: plotly figures as JSON, in their order."""
        if self._first:
            self._thread.submit(self._first)
            self._first = None
        for chart in charts:
            self._shown += 1
            for form in self._forms:
                self._begin(chart, form, prefix_of(self._shown))

    def draw(self, chart: dict, form: str, prefix: str = "") -> bytes:
        """Give the picture of a chart, or raise what kept it from being drawn; see `picture`."""
        return self._begin(chart, form, prefix).result()

    def _begin(self, chart, form, prefix):
        # as a text: what the chart belongs to may change it meanwhile, and one that has changed is another one
        text, prefix = json.dumps(chart), prefix if form == "svg" else ""
        key = (text, form, prefix)
        if key not in self._drawn:
            self._drawn[key] = self._thread.submit(lambda: picture(json.loads(text), form, prefix))
        return self._drawn[key]


def prefix_of(number: int) -> str:
    """Tell with what each id in a still picture begins, by the number of the chart on its page.

    Examples
    --------
    >>> prefix_of(2)
    'c2-'
    """
    return f"c{number}-"
