"""Where the portal shows each machine."""

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from amakit.schemas import MACHINE
from amakit.service.sign_in.clouds import CLOUDS

if TYPE_CHECKING:
    from amakit.facts.gather import Facts

#: A pseudonym of a subscription is no GUID, so nothing that was anonymised is ever linked.
_REAL = re.compile(r"/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourcegroups/[^/]+/providers/.+")


def portal_links(known: "Facts") -> dict[str, str]:
    """Give the address in the portal of each machine that is real and whose resource is known.

    Parameters
    ----------
    known : amakit.facts.gather.Facts

    Returns
    -------
    dict of str to str
        By the name of the machine; empty for synthetic data, and where the cloud is not known.

    Examples
    --------
    >>> import amakit
    >>> from amakit.facts.gather import gather
    >>> portal_links(gather(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")))
    {}
    """
    run = known.analysis.run
    if run["synthetic"] or run.get("cloud") not in CLOUDS:
        return {}
    start = f"{CLOUDS[run['cloud']].portal}/#@/resource"
    machines = known.analysis.machines[MACHINE].itertuples(index=False, name=None)
    return {known.names[machine]: start + quote(machine[0]) for machine in machines if _REAL.fullmatch(machine[0])}
