"""Pages that tests make one by one run in one kernel, as those of a batch do: a kernel takes three seconds to start."""

import contextlib
import os
from pathlib import Path

import pytest

_HELD = {}
_NO_CACHE = "AMAKIT_NO_CACHE"


@pytest.fixture(autouse=True, scope="session")
def shared_kernels():
    """Hold the kernels of this process until all tests have run."""
    from jupyter_core.utils import run_sync

    from amakit.report import run

    usual, alone = _surroundings(), run.kernel
    with contextlib.ExitStack() as held, pytest.MonkeyPatch.context() as patch:

        @contextlib.contextmanager
        def kernel(environment, last):
            if _surroundings() != usual:  # a kernel keeps those in which it began
                with alone(environment, last) as manager:
                    yield manager
                return
            key = (os.environ.get(_NO_CACHE), *sorted(environment.items()))
            if key not in _HELD:
                _HELD[key] = held.enter_context(alone(environment, held))
            yield _HELD[key]

        patch.setattr(run, "kernel", kernel)
        yield
        for manager in _HELD.values():
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


def _surroundings():
    """Give what a kernel takes over from this process."""
    told = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_") and name != _NO_CACHE}
    return Path.cwd(), told
