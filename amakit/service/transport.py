"""Which of the two ways to a workspace is taken: the Kusto endpoint, or the query API of Azure Monitor Logs."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from amakit.errors import AmakitError, Closed, UsageError
from amakit.service.kusto import KustoEngine
from amakit.service.logs import LogsEngine, scope_of
from amakit.service.sign_in.clouds import CLOUDS

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from amakit.service.engine import Engine

#: What ``--transport`` takes.
TRANSPORTS = ("auto", "kusto", "logs")


def engine(
    workspace: str,
    cloud: str = "",
    host: str = "",
    sign_in: "str | TokenCredential" = "default",
    tenant: str = "",
    transport: str = "auto",
) -> "Engine | Auto":
    """Make what asks a remote workspace.

    Parameters
    ----------
    workspace, cloud, host, sign_in, tenant
        See `amakit.service.kusto.KustoEngine` and `amakit.service.logs.LogsEngine`.
    transport : str
        One of `TRANSPORTS`.

    Returns
    -------
    Engine or Auto

    Raises
    ------
    UsageError
        When there is no such way to this workspace.

    Examples
    --------
    >>> engine("http://127.0.0.1:1/logs").package, engine("/subscriptions/0", host="http://127.0.0.1:1").package
    ('azure-kusto-data', 'azure-monitor-query')
    >>> engine("/subscriptions/0/resourceGroups/rg", transport="kusto")
    Traceback (most recent call last):
    amakit.errors.UsageError: the logs of a group are read with --transport logs, or auto; --transport kusto knows \
workspaces only
    """
    if transport not in TRANSPORTS:
        raise UsageError(f"transport {transport!r} is not known; it is auto, kusto or logs")
    kind = scope_of(workspace)
    if transport == "kusto" and kind not in ("workspace", ""):
        raise UsageError(
            f"the logs of a {kind} are read with --transport logs, or auto; --transport kusto knows workspaces only"
        )
    given = (workspace, cloud, host, sign_in, tenant)
    named = host.lower().removeprefix("https://") in {name for known in CLOUDS.values() for name in known.logs}
    if transport == "logs" or kind not in ("workspace", "") or (transport == "auto" and named):
        return LogsEngine(*given)
    first = KustoEngine(*given)
    if transport == "kusto" or kind != "workspace":
        return first
    own = host if first.cluster.loopback else ""
    return Auto(first, lambda: LogsEngine(workspace, cloud or first.cloud, own, sign_in, tenant))


class Auto:
    """The Kusto endpoint; and where that is closed to this user, or from here, the query API, which is said.

    Whoever once had an answer stays with it.
    """

    def __init__(self, first: KustoEngine, other: Callable[[], LogsEngine]) -> None:
        self._now: Engine = first
        self._other: Callable[[], LogsEngine] | None = other

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._now, name)
        return found if self._other is None or not callable(found) else lambda *given: self._asked(name, *given)

    def _asked(self, name, *given):
        try:
            answer = getattr(self._now, name)(*given)
        except Closed as error:
            shut = error
        else:
            shut = None
        if shut is not None:  # out here, so that an error of the other way is not taken for one that came of this
            self._go_over(shut)
            return getattr(self._now, name)(*given)
        if name not in ("known", "extent", "held", "close", "state"):
            self._other = None
        return answer

    def proof(self) -> Iterator[tuple[str, str]]:
        """Prove the way to the data step by step; where the first is closed, go on with the other."""
        try:
            yield from self._now.proof()
        except Closed as error:
            shut = error
        else:
            return
        self._go_over(shut)
        yield "transport", self._now.notes[-1]
        yield from self._now.proof()

    def _go_over(self, error):
        if self._other is None:
            raise error
        other = self._other()
        try:
            other._guarded(other._client)
        except AmakitError as missing:
            raise Closed(f"{error}; the other way, {missing}") from error
        reason = str(error).replace(self._now._workspace, "the workspace")  # as others may see it
        other.notes.append(
            f"asked with the query API of Azure Monitor Logs, for the Kusto endpoint is closed: {reason}"
        )
        self._now, self._other = other, None
