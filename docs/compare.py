"""What other tools see of one upgrade of the demo fleet, beside amakit and beside the truth.

``python docs/compare.py`` prints the page.  The queries are ours; what each computes is what the named tools publish.
"""

import pandas as pd

import amakit
from amakit import demo
from amakit.kql.literals import literal

MACHINE = "web-02"
#: Published dashboards and alerts, as KQL over one machine; ``{machine}``, ``{start}`` and ``{end}`` are literals.
QUERIES = {
    "availability": """Heartbeat
| where Computer =~ {machine} and TimeGenerated >= {start} and TimeGenerated < {end}
| summarize Beats = count() by Hour = bin(TimeGenerated, 1h)
| summarize Available = countif(Beats > 0), Fewest = min(Beats)
| extend Share = 100.0 * Available / (({end} - {start}) / 1h)""",
    "alert": """let Beats = Heartbeat
| where Computer =~ {machine} and TimeGenerated >= {start} and TimeGenerated < {end}
| project TimeGenerated, One = 1;
range Evaluated from {start} + 5m to {end} step 5m
| extend One = 1
| join kind=inner Beats on One
| summarize Beats = countif(TimeGenerated > Evaluated - 5m and TimeGenerated <= Evaluated) by Evaluated
| summarize Evaluations = count(), Fired = countif(Beats == 0), Fewest = min(Beats)""",
    "minutes": """Heartbeat
| where Computer =~ {machine} and TimeGenerated >= {start} and TimeGenerated < {end}
| summarize Beats = count() by Minute = bin(TimeGenerated, 1m)""",
    "beats": """Heartbeat
| where Computer =~ {machine} and TimeGenerated >= {start} and TimeGenerated < {end}
| project TimeGenerated
| order by TimeGenerated asc""",
}


def truth(name):
    """Read a table of what really happened, which no query of the kit can see."""
    frame = pd.read_csv(demo.cached() / "truth" / f"{name}.csv", keep_default_na=False)
    for column in {"start", "end", "outage_start"} & set(frame):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def rendered(name, start, end):
    """Fill in the values of a query."""
    values = {"machine": MACHINE, "start": start, "end": end}
    return QUERIES[name].format(**{key: literal(value) for key, value in values.items()})


def figures(found):
    """Compute what each tool makes of the upgrade.

    Returns
    -------
    dict
        true (its row of the truth), lost (heartbeats, in truth), got (the row of amakit), gap (that of its heartbeat),
        hours, alert (one row each), empty (minutes without a heartbeat), last, first, spacing_s, usual_s.
    """
    upgrades = truth("outages").query("cause == 'upgrade'")
    (true,) = upgrades[upgrades["computer"] == MACHINE].itertuples()
    losses = truth("losses").query("computer == @MACHINE and data_type == 'Heartbeat'")
    (lost,) = losses.loc[losses["outage_start"] == true.start, "lost"]
    overlap = found.outages["computer"] == MACHINE
    overlap &= (found.outages["start_earliest"] <= true.end) & (found.outages["end_latest"] >= true.start)
    (got,) = found.outages[overlap].itertuples()
    gaps = found.gaps[(found.gaps["computer"] == MACHINE) & (found.gaps["outage_start"] == got.start_earliest)]
    (gap,) = gaps[gaps["data_type"] == "Heartbeat"].itertuples()
    day = true.start.floor("D"), true.start.ceil("D")
    with amakit.connect("demo") as logs:
        (hours,) = logs.query(rendered("availability", *day)).itertuples()
        (alert,) = logs.query(rendered("alert", *day)).itertuples()
        minutes = logs.query(rendered("minutes", *day))["Minute"]
        beats = logs.query(rendered("beats", *day))["TimeGenerated"]
    spacing = beats.diff()
    at = spacing.idxmax()
    every = pd.date_range(*day, freq="min", inclusive="left")
    return {
        "true": true,
        "lost": int(lost),
        "got": got,
        "gap": gap,
        "hours": hours,
        "alert": alert,
        "empty": len(every.difference(minutes)),
        "near": len(every[(every >= true.start.floor("min")) & (every <= true.end)].difference(minutes)),
        "last": beats[at - 1],
        "first": beats[at],
        "spacing_s": spacing[at].total_seconds(),
        "usual_s": spacing.median().total_seconds(),
    }


def biases(found):
    """Compare each estimate of the downtime with the truth, over all upgrades of the fleet that the truth tells of.

    Returns
    -------
    pandas.DataFrame
        One row per upgrade: true, next_last, gap_less_interval, amakit (seconds), inside, alert (a silence of ten
        minutes fires in any case, one under five never), hour (a whole clock hour without a heartbeat).
    """
    rows = []
    keys = ["resource_id", "computer"]
    beats = found.gaps[found.gaps["data_type"] == "Heartbeat"]
    for true in truth("outages").query("cause == 'upgrade'").itertuples():
        own = found.outages[(found.outages[keys] == [true.resource_id.lower(), true.computer.lower()]).all(axis=1)]
        own = own[(own["start_earliest"] <= true.end) & (own["end_latest"] >= true.start)]
        for got in own.itertuples():
            gap = beats[(beats[keys] == [got.resource_id, got.computer]).all(axis=1)]
            gap = gap[gap["outage_start"] == got.start_earliest]
            silence = (gap["first_after"] - gap["last_before"]).dt.total_seconds()
            if len(gap) != 1:  # two agents under one name have two silences
                continue
            whole = gap["first_after"].iloc[0].floor("h") - gap["last_before"].iloc[0].floor("h")
            length = (true.end - true.start).total_seconds()
            rows.append(
                {
                    "true": length,
                    "next_last": silence.iloc[0],
                    "amakit": got.downtime_s,
                    "gap_less_interval": (silence - gap["interval_s"]).iloc[0],
                    "inside": got.downtime_low_s <= length <= got.downtime_high_s,
                    "alert": "fires" if silence.iloc[0] >= 600 else "depends" if silence.iloc[0] >= 300 else "misses",
                    "hour": whole > pd.Timedelta(hours=1),
                }
            )
    return pd.DataFrame(rows)


def page(found, markdown):
    """Write the page as Markdown."""
    f, b = figures(found), biases(found)
    true, got, gap = f["true"], f["got"], f["gap"]
    length = (true.end - true.start).total_seconds()
    rows = [
        ("the truth", f"the agent was away for {length:.1f} s, {f['lost']} heartbeats were lost", "–"),
        (
            "amakit",
            f"{got.downtime_s:.1f} s, between {got.downtime_low_s:.1f} and {got.downtime_high_s:.1f}; "
            f"{gap.lost} heartbeats lost ({gap.lost_low} to {gap.lost_high}); cause `{got.cause}`, "
            f"{got.from_version} to {got.to_version}",
            f"{got.downtime_s - length:+.1f} s",
        ),
        (
            "share of hours with a heartbeat",
            f"{f['hours'].Share:.0f} % available; the emptiest hour held {f['hours'].Fewest} heartbeats",
            "not seen" if f["hours"].Share == 100 else "seen",
        ),
        (
            "alert: none in 5 minutes, evaluated every 5",
            f"fired at {f['alert'].Fired} of {f['alert'].Evaluations} "
            f"evaluations; the fewest heartbeats in a window were {f['alert'].Fewest}",
            "not seen" if not f["alert"].Fired else "seen",
        ),
        (
            "count per minute, as a panel draws it",
            f"{f['near']} empty minutes in the upgrade; {f['empty']} that day",
            f"{60 * f['near'] - length:+.1f} s",
        ),
        ("`next − last`, as `diff()` gives it", f"{f['spacing_s']:.1f} s", f"{f['spacing_s'] - length:+.1f} s"),
        ("`gap − T`", f"{f['spacing_s'] - f['usual_s']:.1f} s", f"{f['spacing_s'] - f['usual_s'] - length:+.1f} s"),
    ]
    errors = [
        (
            name,
            f"{(b[column] - b['true']).mean():+.1f}",
            f"{(b[column] - b['true']).abs().median():.1f}",
            f"{(b[column] - b['true']).min():+.1f} to {(b[column] - b['true']).max():+.1f}",
        )
        for name, column in (
            ("`next − last`", "next_last"),
            ("`gap − T`", "gap_less_interval"),
            ("amakit, `downtime_s`", "amakit"),
        )
    ]
    day, alerts = (true.start.floor("D"), true.start.ceil("D")), b["alert"].value_counts()
    texts = "\n\n".join(
        f"### {title}\n\n```kusto\n{rendered(name, *day)}\n```"
        for title, name in (
            ("Share of hours with a heartbeat", "availability"),
            ("No heartbeat in five minutes", "alert"),
            ("Count per minute", "minutes"),
            ("Heartbeats, for `diff()`", "beats"),
        )
    )
    return f"""# What other tools see of the same upgrade

`{MACHINE}` of the demo fleet (synthetic, seed 1) was upgraded from {true.from_version} to {true.to_version} on
{true.start:%d %B %Y}. The truth is known, for `amakit demo` writes it into `truth/`, which no query can read: the agent
stopped at {true.start:%H:%M:%S} and was back at {true.end:%H:%M:%S} UTC. Its last heartbeat before came at
{f["last"]:%H:%M:%S}, the first after it at {f["first"]:%H:%M:%S}.

{markdown(rows, ["tool", "says", "off by"])}

Why they differ:

- A *share of hours* counts an hour as available if it holds one heartbeat. It shows an outage only if a whole clock
  hour is empty.
- An *alert* asks whether a window is empty at the moment it is evaluated. A silence shorter than its window never is.
- A *panel* counts in fixed minutes. An empty minute is neither a lost heartbeat nor a minute of downtime: heartbeats
  come a few milliseconds more than 60 s apart, so now and then one slips over the edge of its minute.
- `next − last` is the silence of one stream. It is longer than the outage by the wait from the last sample to the stop,
  and by that from the start to the first sample.
- `gap − T` takes one interval off. That is right where the two waits add up to one interval, which on the average they
  may, and on a single machine do not: its error reaches over half an interval to both sides.
- amakit brackets both ends by all streams of the machine, and says how far the brackets reach.

## All upgrades of the demo

Over the {len(b)} upgrades that the truth tells of and that one stream of heartbeats shows, in seconds (estimate
less truth):

{markdown(errors, ["estimate", "mean error", "median absolute error", "range"])}

The truth lies inside amakit's bounds in {b["inside"].sum()} of {len(b)}. An alert of five minutes that is evaluated
every five fires surely on {alerts.get("fires", 0)}, by chance of its clock on {alerts.get("depends", 0)}, and never on
{alerts.get("misses", 0)}. The share of hours shows {b["hour"].sum()}.

## The queries

Each runs as it stands on the embedded engine, in KQL that Log Analytics understands. They are written for this page
after what Microsoft's published queries, baseline alerts and workbooks compute; `bin` stands where some of them use
`bin_at`, which moves the edges of the hours and not what they can show.

{texts}

The page is made by `docs/compare.py` each time the documentation is built; `python docs/compare.py` prints it. Where
the tools' definitions come from: Microsoft's sample queries for Heartbeat
(<https://learn.microsoft.com/azure/azure-monitor/reference/queries/heartbeat>), the Azure Monitor Baseline Alerts
(<https://azure.github.io/azure-monitor-baseline-alerts/>), whose heartbeat alert has a longer window still, and
`pandas.Series.diff`."""


if __name__ == "__main__":
    from generated import demo as analysed
    from generated import markdown as table

    print(page(analysed(), table))
