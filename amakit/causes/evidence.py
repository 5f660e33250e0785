"""What rows of other tables say about each outage: one row for each piece of evidence, and none of it in words.

A piece of evidence lies beside an outage when it falls into the outage, its beginning's bracket widened by two minutes;
it is ``at_start`` when it falls at the beginning, where what explains an outage must lie.
"""

import re

import numpy as np
import pandas as pd

from amakit.causes.operations import ON_AGENT, ON_POWER
from amakit.schemas import MACHINE, RESULTS, frame_of, result

MINUTE = pd.Timedelta(minutes=1)
#: So far from the bracket of a beginning its evidence may lie: shutdowns and the platform's rows take a while.
NEAR = 2 * MINUTE
#: So long an operation on an extension may run that never says how it ended: the guest agent gives up after 40 minutes.
HUNG = 45 * MINUTE
#: A system, or an agent, that is back this soon was restarted in place.
IN_PLACE = 15 * MINUTE
#: Two machines that fall silent this close together fell silent at once.
AT_ONCE = pd.Timedelta(seconds=90)

#: Columns inside the analysis; `table` makes the result table of them.
COLUMNS = {
    "outage": "long", "time": "datetime", "until": "datetime", "at_start": "bool", "act": "long", "data_type": "string",
    "kind": "string", "operation": "string", "status": "string", "actor": "string", "text": "string",
}  # fmt: skip


def gather(
    outages: pd.DataFrame,
    acts: pd.DataFrame,
    system: pd.DataFrame,
    uptime: pd.DataFrame,
    messages: pd.DataFrame,
    horizon: pd.Timestamp,
) -> pd.DataFrame:
    """Put together the evidence beside each outage.

    Parameters
    ----------
    outages : pandas.DataFrame
        resource_id, computer, and the four ends of each outage.
    acts : pandas.DataFrame
        As `operations` gives them.  An instance of a scale set is also touched by what is done to its set.
    system : pandas.DataFrame
        What Windows and Linux said of stops and starts: resource_id, computer, TimeGenerated, data_type, Source,
        Number, Message.
    uptime : pandas.DataFrame
        resource_id, computer, TimeGenerated, Uptime in seconds.
    messages : pandas.DataFrame
        What the workspace said went wrong with agents: TimeGenerated, Computer, Key, Status, Detail.
    horizon : pandas.Timestamp
        Up to here an outage that goes on is looked at.

    Returns
    -------
    pandas.DataFrame
        The columns `COLUMNS`: outage (index of ``outages``), time and until, at_start (whether it falls at the
        beginning), act (index of ``acts``), and those of the result table ``evidence``; in the order of time.

    Notes
    -----
    What has one instant belongs to one outage of its machine, the one that holds it or else the nearest; so does an
    operation on the machine.  An operation on the agent's extension may span several outages.
    """
    o = _brackets(outages, horizon)
    parts = [
        _operations_beside(o, acts),
        _system_beside(o, system),
        _uptime_beside(o, uptime),
        _others(o),
        _messages_beside(o, messages),
    ]
    whole = pd.concat([frame_of({c: p.get(c, [None] * len(p)) for c in COLUMNS}, COLUMNS) for p in parts])
    return whole.sort_values(["outage", "time"], ignore_index=True, kind="stable")


def _brackets(outages, horizon):
    o = outages[[*MACHINE, "start_earliest", "start_latest", "end_earliest", "end_latest"]].rename_axis("outage")
    return o.assign(last=o["end_latest"].fillna(max([horizon, *o["start_latest"]]))).reset_index()


def operations_beside(outages: pd.DataFrame, acts: pd.DataFrame, horizon: pd.Timestamp) -> pd.DataFrame:
    """Give the operations beside each outage: the columns of ``acts``, outage, and role, ``attempt`` or ``power``."""
    near = _operations_beside(_brackets(outages, horizon), acts).sort_values(["outage", "time"], kind="stable")
    role = near["kind"].isin(ON_AGENT).map({True: "attempt", False: "power"}).astype("str")
    own = acts.loc[near["act"].astype("int64")].assign(outage=near["outage"].array, role=role.array)
    return own.reset_index(drop=True)


def _operations_beside(o, acts):
    acts = acts[acts["kind"] != ""].rename_axis("act").reset_index()
    hung = acts["status"] == "started"
    reach = acts["kind"].isin(ON_AGENT).map({True: HUNG, False: 5 * MINUTE})
    acts = acts.assign(
        until=acts["ended"].mask(hung, acts["began"] + reach), time=acts["began"], data_type="AzureActivity"
    ).drop(columns=["target", "caller", "correlation"])
    sets = o["resource_id"].where(o["resource_id"].str.contains("scalesets/", regex=False))
    sets = sets.str.replace("/virtualmachines/.*$", "", regex=True).fillna("")
    both = pd.concat([o.assign(base=o["resource_id"]), o.assign(base=sets)[sets != o["resource_id"]]])
    near = both[both["base"] != ""].merge(acts, on="base")
    slow = near["kind"].isin(["scale_in", "health"]).map({True: IN_PLACE, False: NEAR})
    latest = near["start_latest"] + slow
    latest = latest.mask(near["end_latest"] < latest, near["end_latest"])
    near["at_start"] = (near["until"] >= near["start_earliest"] - NEAR) & (near["began"] <= latest)
    near = near[near["at_start"] | ((near["began"] >= near["start_earliest"] - NEAR) & (near["began"] <= near["last"]))]
    power = near["kind"].isin(ON_POWER)
    first = near[power].sort_values(["at_start", "start_earliest"], ascending=[False, True], kind="stable")
    return pd.concat([near[~power], first.drop_duplicates([*MACHINE, "act"])])


def nearest(o: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Give each row of a machine, which has a ``time``, to the one outage that holds it, or is at most `NEAR` away."""
    pairs = o.merge(rows.reset_index(drop=True).rename_axis("row").reset_index(), on=MACHINE)
    before = (pairs["start_earliest"] - pairs["time"]).clip(lower=pd.Timedelta(0))
    away = before + (pairs["time"] - pairs["last"]).clip(lower=pd.Timedelta(0))
    pairs = pairs.assign(away=away)[away <= NEAR].sort_values(["away", "start_earliest"], kind="stable")
    return pairs.drop_duplicates("row").drop(columns="row")


def _system_beside(o, system):
    kinds = [system_kind(*row) for row in system[["data_type", "Source", "Number", "Message"]].itertuples(index=False)]
    rows = system.rename(columns={"TimeGenerated": "time", "Message": "text"}).assign(
        kind=pd.Series(kinds, index=system.index, dtype="str"),
        operation=system["Number"].astype("str").where(system["Number"].astype("str") != "", system["Source"]),
    )
    near = nearest(o, rows[rows["kind"] != ""])
    latest = near["start_latest"] + NEAR
    return near.assign(at_start=near["time"] <= latest.mask(near["end_latest"] < latest, near["end_latest"]))


def system_kind(data_type: str, source: str, number: str, message: str) -> str:
    """Say what a line of the system's own log means: power_off, reboot, shutdown, crash, boot, or nothing.

    Examples
    --------
    >>> system_kind("Event", "User32", "1074", "... Shutdown Type: restart")
    'reboot'
    >>> system_kind("Syslog", "kernel", "", "Command line: BOOT_IMAGE=/vmlinuz hibernate=noresume idle=halt")
    'boot'
    """
    if data_type == "Event":
        if number == "1074":
            asked = re.search(r"shutdown type:\s*(\w+)", message, re.IGNORECASE)
            return {"restart": "reboot", "power": "power_off"}.get(asked[1].lower() if asked else "", "shutdown")
        return {
            "6006": "shutdown",
            "109": "shutdown",
            "13": "shutdown",
            "6008": "crash",
            "41": "crash",
            "6005": "boot",
            "12": "boot",
        }.get(number, "")
    for kind, pattern in _SYSLOG:
        if pattern.match(f"{source.partition('[')[0].lower()}: {message}"):
            return kind
    return ""


#: Lines of the kernel, of PID 1 and of its login manager; the packaged query leaves out those of a user's session.
_SYSLOG = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in (
    ("boot", r"kernel: (\[[ \d.]+\] )?(linux version |command line: |kernel command line: |boot_image)"),
    ("reboot", r"kernel: (\[[ \d.]+\] )?reboot: restarting system"),
    ("power_off", r"kernel: (\[[ \d.]+\] )?reboot: (power down|system halted)"),
    ("boot", r"systemd: startup finished in .*\(kernel\)"),
    ("reboot", r"systemd: reached target .*(reboot\.target|system reboot|\breboot\b)"),
    ("power_off", r"systemd: reached target .*(poweroff\.target|power-off|power off|halt\.target)"),
    ("shutdown", r"systemd: reached target .*(shutdown\.target|system shutdown|\bshutdown\b)"),
    ("reboot", r"systemd-logind: (the )?system (is rebooting|will reboot now)"),
    ("power_off", r"systemd-logind: (the )?system (is powering down|is powering off|is halting|will power off now)"),
    ("power_off", r"(shutdown|init): .*(shutting down for (system )?(halt|power)|system halt)"),
    ("reboot", r"(shutdown|init): .*(shutting down for (system )?reboot)"),
    ("shutdown", r"(shutdown|init): .*shutting down"),
)]  # fmt: skip


def _uptime_beside(o, uptime):
    """Compare when the system started, as the counter says after an outage, with the outage itself."""
    ended = o[o["end_latest"].notna()].sort_values("end_latest")
    rows = uptime.sort_values("TimeGenerated").assign(after=uptime["TimeGenerated"])
    for frame in (ended, rows):
        frame[MACHINE] = frame[MACHINE].astype("str")
    if ended.empty or rows.empty:
        return ended.iloc[:0]
    near = pd.merge_asof(
        ended,
        rows.assign(TimeGenerated=rows["TimeGenerated"].astype(ended["end_latest"].dtype)),
        left_on="end_latest",
        right_on="TimeGenerated",
        by=MACHINE,
        direction="forward",
    )
    near = near[near["Uptime"].notna()]
    booted = near["after"] - pd.to_timedelta(near["Uptime"], unit="s")
    near = near.assign(time=booted.dt.round("us"), data_type="Perf", kind="uptime_reset")
    kept = near["time"] <= near["start_earliest"] - MINUTE
    near["kind"] = near["kind"].mask(kept, "uptime_kept")
    near["time"] = near["time"].mask(kept, near["after"])
    return near[kept | (near["time"] <= near["end_latest"])].assign(at_start=False)


def _others(o):
    """Count for each outage the other machines that fell silent with it, where they are three and half of those hit."""
    o = o.sort_values("start_latest", kind="stable")
    times, machines = o["start_latest"], o.groupby(MACHINE, sort=False).ngroup().to_numpy()
    first = times.searchsorted(times - AT_ONCE, "left")
    behind = times.searchsorted(times + AT_ONCE, "right")
    held, together, counts, since, until = [0] * len(machines), 0, [], 0, 0
    for low, high in zip(first, behind, strict=True):  # each machine once, however many outages it has near
        for machine in machines[until:high]:
            together += held[machine] == 0
            held[machine] += 1
        for machine in machines[since:low]:
            held[machine] -= 1
            together -= held[machine] == 0
        since, until = low, high
        counts.append(together - 1)
    counts = np.array(counts, dtype="int64")
    many = (counts >= 3) & (2 * counts >= len(set(machines)))
    return o.assign(time=times, at_start=False, kind="fleet_silent", data_type="Heartbeat", text=counts.astype("str"))[
        many
    ]


def _messages_beside(o, messages):
    names = {"TimeGenerated": "time", "Computer": "computer", "Key": "operation", "Status": "status", "Detail": "text"}
    rows = messages.rename(columns=names).merge(o[MACHINE].drop_duplicates(), on="computer")
    return nearest(o, rows).assign(kind="agent_error", at_start=False, data_type="Operation")


def of_disconnections(cut_off: pd.DataFrame) -> pd.DataFrame:
    """Make the rows, in the form of the result table, that say what came late; see `outages.disconnections`."""
    rows = cut_off.rename(columns={"start_earliest": "outage_start", "sent": "time"})
    rows = rows.assign(data_type="Heartbeat", kind="late_arrival", text=rows["beats"].astype("str"))
    return result("evidence", rows.assign(operation="", status="", actor=""))


def table(evidence: pd.DataFrame, outages: pd.DataFrame) -> pd.DataFrame:
    """Make the result table ``evidence`` from rows of `gather` and the outages that they count."""
    keys = outages[[*MACHINE, "start_earliest"]].rename(columns={"start_earliest": "outage_start"})
    whole = evidence.merge(keys, left_on="outage", right_index=True)
    return result("evidence", whole[list(RESULTS["evidence"])].assign(text=whole["text"].str.slice(0, 300)))
