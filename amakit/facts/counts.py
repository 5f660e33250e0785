"""The numbers of an analysis that a pipeline may set limits to, by name."""

#: What each number counts, in the order in which ``facts.json`` has them.
COUNTS = {
    "machines": "machines of the analysis",
    "silent": "machines that had not come back at the horizon, for whatever reason",
    "down": "of these, machines of which nothing says that they are off",
    "off": "of these, machines that were stopped or removed",
    "partial": "tables of machines that lack streams although the agent goes on",
    "stopped_sources": "event sources that have not come back although the agent goes on",
    "silences": "event sources that were silent without an outage to explain it, and came back",
    "doubtful": "outages in which events may have been lost",
    "destinations": "stretches in which one of several workspaces received nothing of a machine and another one did",
    "seen": "changes to a newer version: the one count of upgrades on all pages",
    "upgrades": "outages by upgrades that ended",
    "rolled_back": "upgrades that failed, and ended",
    "rollback_failed": "upgrades that failed and were not rolled back",
    "lost_heartbeats": "heartbeats lost by upgrades and failed attempts that ended",
    "median_s": "seconds for which they took agents away, at the median; null where there was none",
    "longest_s": "seconds for which the longest of them did; null where there was none",
    "unexplained": "outages that ended and could not be explained",
    "undecided": "checks of event sources that could not be decided",
    "unknown": "stretches of which nothing is known",
    "missing_tables": "tables that the workspace does not have",
    "unheard": "machines that have the agent's extension by an inventory and sent no heartbeat; null without one",
}


def counts(facts: dict) -> dict[str, float | None]:
    """Take from what is known of an analysis the numbers that limits may be set to.

    Parameters
    ----------
    facts : dict
        With ``situation``, ``verdict`` and ``run``, as in ``facts.json``.

    Returns
    -------
    dict of str to float
        With the keys of `COUNTS`.
    """
    now, told = facts["situation"], facts["verdict"]
    ended = now["recovered"]
    parts = ("down", "off", "partial", "stopped_sources", "silences", "doubtful", "destinations")
    lengths = {name: len(now[name]) for name in parts}
    found = lengths | {
        "machines": told["machines"],
        "silent": len(told["silent"]),
        "seen": told["seen"],
        "upgrades": ended["upgrades"],
        "rolled_back": ended["rolled_back"],
        "rollback_failed": told["rollback_failed"],
        "lost_heartbeats": ended["heartbeats"],
        "median_s": ended["median_s"],
        "longest_s": ended["longest_s"],
        "unexplained": now["other"].get("unexplained", 0),
        "undecided": now["undecided"],
        "unknown": now["unknown"],
        "missing_tables": len(facts["run"]["missing_tables"]),
        "unheard": len(facts["inventory"]["unheard"]) if "inventory" in facts else None,
    }
    return {name: found[name] for name in COUNTS}
