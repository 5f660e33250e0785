"""How long the pages of large fleets take to write, how large they are, and how they open in Chromium.

    python benchmarks/pages.py [--machines 100,1000,10000] [--days 30] [--upgrades 2] [--out FOLDER]

The analysis itself is not measured: its tables are drawn here, with the proportions of the synthetic workspace, and
take its place in the kernel of each notebook.  Everything after it runs as `amakit report` runs it.
"""

import argparse
import hashlib
import importlib
import json
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from amakit.analysis import TABLES, Analysis
from amakit.intervals import iso, window
from amakit.prose.evidence import rendered
from amakit.schemas import RESULTS, no_rows, of_outages, result

NOTEBOOKS = ("01_version_transitions", "02_upgrade_gaps", "03_incident_writeup", "04_rollout")
START = pd.Timestamp("2026-03-02", tz="UTC")
#: What becomes of an agent that goes away; the first column is how many in a thousand.
_CAUSES = pd.DataFrame(
    [
        (850, "upgrade", 90, ["write succeeded", "uptime_kept"]),
        (50, "rolled_back", 240, ["write failed", "uptime_kept"]),
        (40, "machine_stopped", 7000, ["deallocate"]),
        (30, "machine_restarted", 150, ["uptime_reset"]),
        (20, "disconnected", 2300, ["late_arrival"]),
        (8, "unexplained", 1200, ["uptime_kept"]),
        (2, "rollback_failed", 0, ["write failed"]),
    ],
    columns=["share", "cause", "seconds", "proof"],
)
_OPERATIONS = "microsoft.compute/virtualmachines/"
#: The evidence of a cause: table, kind, operation, status, text.
_PROOF = pd.DataFrame(
    [
        ("write succeeded", "AzureActivity", "agent_write", _OPERATIONS + "extensions/write", "succeeded", ""),
        ("write failed", "AzureActivity", "agent_write", _OPERATIONS + "extensions/write", "failed", ""),
        ("deallocate", "AzureActivity", "machine_stop", _OPERATIONS + "deallocate/action", "succeeded", ""),
        ("uptime_kept", "Perf", "uptime_kept", "", "", ""),
        ("uptime_reset", "Perf", "uptime_reset", "", "", ""),
        ("late_arrival", "Heartbeat", "late_arrival", "", "", "56"),
    ],
    columns=["proof", "data_type", "kind", "operation", "status", "text"],
)
_CALLER = "7f3b9c54-1d20-4e8a-b6c1-c0de000000aa"
_VERSIONS = {"Linux": [f"1.{n}.0" for n in range(35, 42)], "Windows": [f"1.{n}.1.0" for n in range(35, 42)]}
#: Data type, stream and seconds between its samples.
_STREAMS = [("Heartbeat", "", 60), ("Perf", "Processor \\ % Processor Time \\ _Total", 60),
            ("Perf", "Memory \\ Available MBytes \\ ", 60), ("Perf", "LogicalDisk \\ % Free Space \\ C:", 60),
            ("Perf", "System \\ System Up Time \\ ", 60), ("InsightsMetrics", "Memory \\ AvailableMB", 60),
            ("AMAHealth", "", 900), ("ConfigurationData", "Software", 36000)]  # fmt: skip
_MACHINE = ["resource_id", "computer"]


def fleet(machines, days=30, upgrades=2, seed=7):
    """Draw the analysis of a fleet.

    Parameters
    ----------
    machines, days : int
    upgrades : int
        Agents go away so often, most often to upgrade.
    seed : int

    Returns
    -------
    Analysis
        Of one machine in ten there are samples beside its outages; the pages show those of one outage only.
    """
    rng = np.random.default_rng(seed)
    whole = _machines(machines)
    away = _outages(whole, days, upgrades, rng)
    runs = _runs(whole, away, days)
    ended = runs.groupby("row").agg(version=("version", "last"), last_seen=("last", "max"), first_seen=("first", "min"))
    horizon = START + pd.Timedelta(days=days)
    silent = whole["row"].isin(away.loc[away["ongoing"], "row"])
    fleet = whole.join(ended, on="row").assign(
        environment="Azure",
        known_s=days * 86400.0,
        note="",
        state=np.where(silent, "silent", "reporting"),
    )
    fleet["active_s"] = (fleet["last_seen"] - fleet["first_seen"]).dt.total_seconds()
    changed = away[away["cause"] == "upgrade"]
    changes = changed.assign(kind="upgrade", last_old=changed["start_earliest"], first_new=changed["end_latest"])
    proof, events = _evidence(away), _events(away, rng)
    away["evidence"] = ["; ".join(statements) for statements in rendered(away, proof)]
    tables = {
        "machines": fleet,
        "transitions": changes,
        "outages": away,
        "gaps": _gaps(away, rng),
        "events": events,
        "sources": _sources(events),
        "evidence": proof,
    }
    tables = {name: result(name, tables[name].drop(columns="row", errors="ignore")) for name in TABLES}
    return Analysis(
        window(START, horizon),
        **tables,
        runs=runs.drop(columns="row"),
        samples=_samples(away),
        activity=_activity(tables),
        inventory=no_rows(RESULTS["inventory"]),
        run=_run(horizon),
    )


def _machines(count):
    row = np.arange(count)
    computer = pd.Series([f"{('web', 'app', 'db', 'batch')[n % 4]}-{n:05}.corp.contoso.example" for n in row])
    group = "/subscriptions/0b1e2d3c-4a5f-4687-9a0b-c0de00000001/resourcegroups/rg-" + pd.Series(row % 40).astype("str")
    kinds = ["/providers/microsoft.compute/virtualmachines/", "/providers/microsoft.hybridcompute/machines/"]
    kind = pd.Series(np.where(row % 7 == 6, *kinds[::-1]), dtype="str")
    os_type = pd.Series(np.where(row % 5 < 3, "Linux", "Windows"), dtype="str")
    resource = group + kind + computer.str.split(".").str[0]
    return pd.DataFrame({"row": row, "resource_id": resource, "computer": computer, "os_type": os_type})


def _outages(whole, days, upgrades, rng):
    """Draw the outages: those of one round come in five waves by resource group, the rest at any time."""
    parts = []
    for turn in range(upgrades):
        part = whole.assign(turn=turn, kind=rng.choice(len(_CAUSES), len(whole), p=_CAUSES["share"] / 1000))
        part = part[rng.random(len(part)) > 0.05]  # a few are opted out of each round
        length = days / upgrades
        wave = (part["row"] % 40 // 8) * 0.15 + 0.05 + rng.exponential(0.03, len(part)).clip(0, 0.15)
        part["at"] = (turn + wave) * length * 86400
        parts.append(part)
    away = pd.concat(parts).sort_values(["row", "turn"], ignore_index=True)
    away = away.join(_CAUSES[["cause", "seconds", "proof"]], on="kind")
    away["ongoing"] = (away["cause"] == "rollback_failed") & ~away["row"].duplicated(keep="last")
    away.loc[(away["cause"] == "rollback_failed") & ~away["ongoing"], ["cause", "seconds"]] = ["rolled_back", 240]
    length = away["seconds"] * np.exp(rng.normal(0, 0.6, len(away)))
    done = (away["cause"] == "upgrade").groupby(away["row"]).cumsum()
    first = away["row"] % 3
    for name, steps in (("from_version", done - (away["cause"] == "upgrade")), ("to_version", done)):
        away[name] = [_VERSIONS[os][min(n, 6)] for os, n in zip(away["os_type"], first + steps, strict=True)]
    away.loc[away["ongoing"], "to_version"] = ""
    ends = {"start_earliest": away["at"], "start_latest": away["at"] + rng.uniform(2, 30, len(away))}
    ends["end_earliest"] = ends["start_latest"] + length
    ends["end_latest"] = ends["end_earliest"] + rng.uniform(2, 30, len(away))
    for name, seconds in ends.items():
        away[name] = START + pd.to_timedelta((seconds * 1e6).astype("int64"), unit="us")
    away.loc[away["ongoing"], ["end_earliest", "end_latest"]] = pd.NaT
    away["downtime_low_s"] = (away["end_earliest"] - away["start_latest"]).dt.total_seconds()
    away["downtime_high_s"] = (away["end_latest"] - away["start_earliest"]).dt.total_seconds()
    away["downtime_s"] = (away["downtime_low_s"] + away["downtime_high_s"]) / 2
    return away.sort_values(["start_earliest", "row"], ignore_index=True)


def _runs(whole, away, days):
    """Give the stretches of one version: they end where an outage brought another, or for good."""
    cut = away[(away["from_version"] != away["to_version"]) | away["ongoing"]].sort_values(["row", "start_earliest"])
    begin = whole.assign(first=START + pd.to_timedelta(whole["row"] % 60, unit="s"))
    again = cut[~cut["ongoing"]]
    begin = pd.concat([begin, again.assign(first=again["end_latest"], version=again["to_version"])])
    begin = begin.sort_values(["row", "first"], ignore_index=True)
    runs = begin[["row", *_MACHINE, "os_type", "version", "first"]]
    number = runs.groupby("row").cumcount()
    ends = cut.assign(n=cut.groupby("row").cumcount())[["row", "n", "start_earliest", "from_version"]]
    runs = runs.assign(n=number).merge(ends, how="left", on=["row", "n"])
    never = runs["os_type"].map(_VERSIONS).to_numpy()
    never = [versions[row % 3] for versions, row in zip(never, runs["row"], strict=True)]
    version = runs["version"].astype("object").fillna(runs["from_version"]).fillna(pd.Series(never)).astype("str")
    last = runs["start_earliest"].fillna(START + pd.Timedelta(days=days) - pd.Timedelta(seconds=20))
    beats = ((last - runs["first"]).dt.total_seconds() / 60).clip(lower=1).astype("int64").astype("Int64")
    runs = runs.assign(line=0, version=version, spelled_first=version, last=last, beats=beats)
    return runs[["row", *_MACHINE, "os_type", "line", "version", "spelled_first", "first", "last", "beats"]]


def _gaps(away, rng):
    parts = []
    for data_type, stream, every in _STREAMS:
        back = pd.to_timedelta(rng.uniform(0, every, len(away)).round(3), unit="s")
        lost = (away["downtime_s"].fillna(86400.0) / every).astype("int64").mask(away["cause"] == "disconnected", 0)
        parts.append(
            away[[*_MACHINE, "row", "cause", "ongoing"]].assign(
                outage_start=away["start_earliest"],
                data_type=data_type,
                stream=stream,
                interval_s=every + 0.003,
                last_before=away["start_earliest"] - back,
                first_after=away["end_latest"] + back,
                lost=lost,
                lost_low=lost,
                lost_high=lost + (rng.random(len(away)) < 0.1),
            )
        )
    return pd.concat(parts, ignore_index=True)


def _events(away, rng):
    verdicts = np.array(["none_expected", "recovered", "possible_loss", "undetermined"])
    parts = [
        away[[*_MACHINE, "row", "cause"]].assign(
            outage_start=away["start_earliest"],
            data_type=data_type,
            source=source,
            rows_inside=rng.integers(0, 9, len(away)),
            expected=rng.exponential(4, len(away)),
            max_delay_s=rng.exponential(200, len(away)),
            verdict=verdicts[rng.choice(4, len(away), p=[0.55, 0.43, 0.01, 0.01])],
            p_value=rng.random(len(away)),
            silent_from=away["start_earliest"],
            silent_to=away["end_latest"],
        )
        for data_type, source in (("Syslog", "cron"), ("AppLog_CL", ""))
    ]
    return pd.concat(parts, ignore_index=True)


def _sources(events):
    """Give the silences of sources that may have lost rows."""
    silent = events[events["verdict"] == "possible_loss"]
    return silent.assign(ongoing=silent["silent_to"].isna())


def _evidence(away):
    rows = away[[*_MACHINE, "start_earliest", "start_latest", "proof"]].explode("proof", ignore_index=True)
    rows = rows.rename(columns={"start_earliest": "outage_start", "start_latest": "time"}).merge(_PROOF, on="proof")
    return rows.assign(actor=np.where(rows["operation"] == "", "", _CALLER)).drop(columns="proof")


def _samples(away):
    own = away[away["row"] % 10 == 0]
    parts = []
    for data_type, stream, every in _STREAMS[:-1]:
        steps = np.arange(-2400, 2400, every)
        part = own.loc[own.index.repeat(len(steps)), [*_MACHINE, "start_earliest"]]
        at = part["start_earliest"] + pd.to_timedelta(np.tile(steps, len(own)), unit="s").as_unit("us")
        parts.append(part[_MACHINE].assign(data_type=data_type, stream=stream, TimeGenerated=at))
    return pd.concat(parts, ignore_index=True)


def _activity(tables):
    """Give the operations among the evidence, each with the outage that it lies beside."""
    own = of_outages(tables["evidence"], tables["outages"])
    own = own[own["operation"] != ""]
    return pd.DataFrame(
        {
            "operation": own["operation"],
            "target": own["resource_id"],
            "base": own["resource_id"],
            "began": own["time"],
            "ended": own["time"] + pd.Timedelta(seconds=30),
            "status": own["status"],
            "caller": own["actor"],
            "correlation": [hashlib.md5(str(n).encode()).hexdigest() for n in own.index],
            "actor": own["actor"],
            "kind": own["kind"],
            "text": own["text"],
            "outage": own["outage"],
            "role": np.where(own["kind"] == "agent_write", "attempt", "power"),
        }
    ).reset_index(drop=True)


def _run(horizon):
    text = "Heartbeat\n" + "| extend text = 'as long as a list of machines'\n" * 400
    query = {"name": "heartbeats", "text": text, "rows": 40_000, "bytes": 2_000_000, "seconds": 2.5, "retries": 0}
    return {
        "amakit": "0",
        "workspace": "drawn",
        "synthetic": True,
        "start": iso(START),
        "end": iso(horizon),
        "horizon": iso(horizon),
        "machines": [],
        "versions": {"pandas": pd.__version__},
        "unknown": [],
        "missing_tables": [],
        "inputs_sha256": "0" * 64,
        "queries": [
            query | {"name": f"heartbeats {n}", "sha256": hashlib.sha256(str(n).encode()).hexdigest()}
            for n in range(150)
        ],
    }


# -- measuring --------------------------------------------------------------------------------------------------

#: Takes the place of the analysis in every kernel that is started with this file on its path.
_SLIPPED_IN = """
import importlib, os, pickle
def analyze(*asked):
    with open(os.environ["AMAKIT_DRAWN"], "rb") as file:
        return pickle.load(file)
importlib.import_module("amakit.report.parameters").analyze = analyze  # amakit.report has a function of this name
"""
#: What a reader does, in the page: how long it blocks at most, in milliseconds.
_WATCHED = """
window.tasks = [];
new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(e => [e.startTime, e.duration])))
  .observe({type: "longtask", buffered: true});
new MutationObserver(() => { if (document.body?.dataset.charts && !window.drawn) window.drawn = performance.now(); })
  .observe(document, {attributes: true, subtree: true, childList: true});
"""
_COUNTED = """() => ({
  nodes: document.querySelectorAll("*").length, rows: document.querySelectorAll("tr").length,
  traces: [...document.querySelectorAll(".drawn")].reduce((n, c) => n + c.data.length, 0),
  points: [...document.querySelectorAll(".drawn")].flatMap(c => c._fullData)
    .reduce((n, t) => n + (t.z ? t.z.length * t.z[0].length : (t.x || t.y || t.q1 || []).length), 0),
  heap: performance.memory.usedJSHeapSize / 1e6,
  load: performance.getEntriesByType("navigation")[0].loadEventEnd, drawn: window.drawn,
})"""


def written(analysis, notebook, out):
    """Write one page as `amakit report` does, with an analysis that is there already; give the seconds."""
    from amakit.report.run import report

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(_SLIPPED_IN)
        with (Path(folder) / "analysis").open("wb") as file:
            pickle.dump(analysis, file, protocol=5)
        logs = Path(folder) / "logs"  # a workspace is opened, but not asked
        logs.mkdir()
        (logs / "Heartbeat.csv").write_text("TimeGenerated,Computer\n2026-03-02T00:00:00Z,a\n")
        before = {name: os.environ.get(name) for name in ("PYTHONPATH", "AMAKIT_DRAWN")}
        path = os.pathsep.join([folder, *sys.path[1:]])
        os.environ |= {"PYTHONPATH": path, "AMAKIT_DRAWN": str(Path(folder) / "analysis")}
        try:
            begun = time.perf_counter()
            report(notebook, workspace=str(logs), out=out)
            return time.perf_counter() - begun
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ |= {name: value} if value is not None else {}


def cells(analysis, notebook):
    """Run the cells of a notebook in this process; give the seconds that each took, longest first."""
    import ast

    import nbformat

    from amakit.report.request import find

    parameters = importlib.import_module("amakit.report.parameters")

    space, took = {"In": []}, []
    asked, parameters.analyze = parameters.analyze, lambda *_: analysis
    try:
        with tempfile.TemporaryDirectory() as folder:
            for cell in nbformat.read(find(notebook), as_version=4).cells:
                if cell.cell_type != "code":
                    continue
                begun, tree = time.perf_counter(), ast.parse(cell.source)
                shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
                exec(compile(tree, notebook, "exec"), space)
                if "parameters" in cell.metadata.get("tags", []):
                    space["out_dir"] = folder
                if shown is not None:
                    value = eval(compile(ast.Expression(shown.value), notebook, "eval"), space)
                    if hasattr(value, "to_json"):
                        value.to_json()
                    elif hasattr(value, "_repr_mimebundle_"):
                        value._repr_mimebundle_()
                took.append((time.perf_counter() - begun, cell.source.split("\n")[-1]))
    finally:
        parameters.analyze = asked
    return sorted(took, reverse=True)


def opened(page, executable="/usr/bin/chromium", pictures=None, dark=False):
    """Open a page in Chromium, scroll through it and move over its charts; give what that took.

    Returns
    -------
    dict
        load and drawn (milliseconds from navigation), scroll and hover (milliseconds of the longest task meanwhile),
        heap (megabytes), nodes, rows, traces, points.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        sheet = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme="dark" if dark else "light")
        sheet.add_init_script(_WATCHED)
        sheet.goto(page.as_uri())
        if sheet.locator(".chart").count():
            sheet.wait_for_function("window.drawn")
        told = sheet.evaluate(_COUNTED)
        if pictures:
            sheet.screenshot(path=f"{pictures}-top.png")
            for number, chart in enumerate(sheet.locator("figure").all(), 1):
                chart.screenshot(path=f"{pictures}-{number}.png")
        sheet.evaluate("window.scrollTo(0, 0)")
        told["scroll"] = _longest(
            sheet, lambda: [(sheet.mouse.wheel(0, 800), sheet.wait_for_timeout(30)) for _ in range(60)]
        )
        told["hover"] = 0
        for chart in sheet.locator(".drawn").all():
            chart.scroll_into_view_if_needed()
            box = chart.bounding_box()
            told["hover"] = max(
                told["hover"],
                _longest(
                    sheet,
                    lambda box=box: [
                        (
                            sheet.mouse.move(
                                box["x"] + box["width"] * part, box["y"] + box["height"] * (0.3 + part / 2)
                            ),
                            sheet.wait_for_timeout(30),
                        )
                        for part in np.linspace(0.1, 0.9, 25)
                    ],
                ),
            )
        browser.close()
    return told


def _longest(sheet, move):
    begun = sheet.evaluate("performance.now()")
    move()
    sheet.wait_for_timeout(100)
    return sheet.evaluate("begun => Math.max(0, ...tasks.filter(t => t[0] >= begun).map(t => t[1]))", begun)


def main():
    """Measure and print one row for each page."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--machines", default="100,1000,10000")
    asked.add_argument("--days", type=int, default=30)
    asked.add_argument("--upgrades", type=int, default=2)
    asked.add_argument("--notebooks", default=",".join(NOTEBOOKS))
    asked.add_argument("--out", default=tempfile.gettempdir() + "/amakit-pages")
    asked.add_argument("--pictures", action="store_true", help="take pictures of each page, light and dark")
    given = asked.parse_args()
    print(
        "| machines | upgrades | page | cells s | slowest cell | report s | MB | load ms | drawn ms | scroll ms "
        "| hover ms | heap MB | nodes | rows | traces | points |"
    )
    print("| --: " * 2 + "| --- " + "| --: | --- " + "| --: " * 11 + "|")
    for count in map(int, given.machines.split(",")):
        analysis = fleet(count, given.days, given.upgrades)
        out = Path(given.out) / str(count)
        out.mkdir(parents=True, exist_ok=True)
        upgrades = int((analysis.outages["cause"] == "upgrade").sum())
        for notebook in given.notebooks.split(","):
            took = cells(analysis, notebook)
            seconds = written(analysis, notebook, out)
            page = out.absolute() / f"{notebook}.html"
            told = opened(page)
            if given.pictures:
                for dark in (False, True):
                    opened(page, pictures=out / f"{notebook}-{'dark' if dark else 'light'}", dark=dark)
            told = {name: round(value or 0) for name, value in told.items()}
            print(
                f"| {count:,} | {upgrades:,} | {notebook} | {sum(s for s, _ in took):.1f} | {took[0][0]:.1f} "
                f"`{took[0][1]}` | {seconds:.1f} | {page.stat().st_size / 1e6:.2f} | {told['load']} "
                f"| {told['drawn']} | {told['scroll']} "
                f"| {told['hover']} | {told['heap']} | {told['nodes']:,} | {told['rows']:,} "
                f"| {told['traces']} | {told['points']:,} |",
                flush=True,
            )
            (out / f"{notebook}.json").write_text(json.dumps({"cells": took} | told, indent=1))


if __name__ == "__main__":
    main()
