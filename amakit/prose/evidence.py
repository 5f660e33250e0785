"""Evidence in words: the statements that the cause of an outage rests on, in either language and any time zone."""

from collections import defaultdict

import pandas as pd

from amakit.prose.language import texts
from amakit.schemas import Cause, of_outages

#: The application of Azure Arc that upgrades extensions, the same in every tenant.
ARC_SERVICE = "5e5e43d4-54da-4211-86a4-c6e7f3715801"
_DOWN = (Cause.MACHINE_STOPPED, Cause.MACHINE_RESTARTED, Cause.MACHINE_REMOVED)
#: Kinds that have a statement of their own; the others are told by the table that they are of.
_KINDS = {"uptime_kept": "up", "uptime_reset": "booted", "fleet_silent": "fleet", "next_attempt": "retried",
          "previous_attempt": "attempt", "late_arrival": "late", "health": "health"}  # fmt: skip
_LINKS = ("previous_attempt", "next_attempt")
_TABLES = {"Event": "windows", "Syslog": "syslog", "Operation": "message"}


def rendered(
    outages: pd.DataFrame, evidence: pd.DataFrame, language: str = "en", timezone: str = "UTC"
) -> list[list[str]]:
    """Tell what the cause of each outage rests on.

    Parameters
    ----------
    outages, evidence : pandas.DataFrame
        Rows of the result tables.
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told.

    Returns
    -------
    list of list of str
        For each outage the rows of evidence in the order of time, what follows from its versions and its end, and the
        attempts before and after it.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10", ["sql-07"])
    >>> ["; ".join(told) for told in rendered(found.outages, found.evidence)] == found.outages["evidence"].tolist()
    True
    """
    return [told for told, _ in timed(outages, evidence, language, timezone)]


def timed(
    outages: pd.DataFrame, evidence: pd.DataFrame, language: str = "en", timezone: str = "UTC"
) -> list[tuple[list[str], list[pd.Timestamp]]]:
    """Tell the same as `rendered`, each with the instants of its statements, NaT for those that have none."""
    rows = defaultdict(list)
    for row in of_outages(evidence, outages).sort_values("time", kind="stable").to_dict("records"):
        rows[row["outage"]].append(row)
    told, words = [], texts(language)
    for index, outage in zip(outages.index, outages.to_dict("records"), strict=True):
        pairs = {}
        for row in (row for row in rows[index] if row["kind"] not in _LINKS):
            text = _statement(row, outage, words, timezone)
            pairs.setdefault(text, pd.NaT if row["kind"] == "uptime_kept" else row["time"])
        for key in _follows(outage, bool(pairs)):
            text = words["evidence"][key].format(
                from_version=outage["from_version"], to_version=outage["to_version"], version=outage["from_version"]
            )
            pairs.setdefault(text, pd.NaT)
        for row in (row for row in rows[index] if row["kind"] in _LINKS):
            pairs.setdefault(_statement(row, outage, words, timezone), row["time"])
        told.append((list(pairs), list(pairs.values())))
    return told


def _statement(row, outage, language, timezone):
    """Tell one row of evidence."""
    key = (
        _KINDS.get(row["kind"])
        or _TABLES.get(row["data_type"])
        or (
            "act_arc"
            if row["actor"] == ARC_SERVICE
            else "act_by"
            if "@" in row["actor"]
            else "act_on"
            if row["text"] and row["kind"].startswith("agent_")
            else "act"
        )
    )
    name = language["headings"].get
    return language["evidence"][key].format(
        when=_moment(row["time"], timezone),
        number=row["operation"] if key == "windows" else row["text"],
        until=_moment(outage["end_earliest"], timezone),
        received=_moment(outage["end_latest"], timezone),
        message=row["text"],
        operation=row["operation"],
        status=name(row["status"], row["status"]),
        cause=name(row["status"], row["status"]),
        caller=row["actor"],
    )


def _moment(when, timezone):
    return "" if pd.isna(when) else f"{when.tz_convert(timezone):%Y-%m-%d %H:%M:%S}"


def _follows(outage, any_rows):
    """Name the statements that follow from the versions around an outage and from its end."""
    cause, after = outage["cause"], outage["to_version"]
    changed = bool(after) and after != outage["from_version"]
    if cause in _DOWN:
        return ["after", "hidden"] if changed else []
    if cause == Cause.DISCONNECTED:
        return ["missing"]
    if cause == Cause.NOT_RECORDED:
        return ["unrecorded", *(["after"] if changed else [])]
    if cause == Cause.ROLLBACK_FAILED:
        return ["not_stopped"]
    if cause in (Cause.UPGRADE, Cause.DOWNGRADE):
        return (["after"] if any_rows else ["after", "not_down"]) if changed else ["open"]
    if outage["ongoing"]:
        return ["silent", "why"] if cause == Cause.UNEXPLAINED else ["silent"]
    if changed:
        return ["left"]
    return ["same"] if cause == Cause.UNEXPLAINED else ["again"]
