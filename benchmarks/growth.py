"""How the cost of an analysis grows: ``python growth.py FOLDER [--quick] [--write]`` prints a table, and draws it.

Each point is a fleet that is written, analysed by a process of its own, and removed.  Seconds are those of processors:
what else the machine does counts less there than in the time on the wall.
"""

import argparse
import datetime as dt
import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fleets
from run import machine

HERE = Path(__file__).parent
#: Curve -> (what grows, what one of it is in the fleet, sizes, arguments of `fleets.write` for one size).
CURVES = {
    "machines": ("machines, one day, one upgrade each", (100, 300, 1_000, 3_000, 10_000), lambda n: (n, 1, 1)),
    "days": ("days of 20 machines, an upgrade a month", (1, 4, 12, 30, 90, 365), lambda n: (20, n, math.ceil(n / 30))),
    "upgrades": ("upgrades of 500 machines in 4 days", (0, 500, 2_000, 5_000, 20_000), lambda n: (500, 4, n // 500)),
    "events": ("rows of Event of 20 machines in 2 days", (57_600, 576_000, 5_760_000, 57_600_000),
               lambda n: (20, 2, 1, 0, 0.05, 0.0, 10, n // 57_600)),
    "counters": ("counters of each of 20 machines in 2 days", (3, 10, 30, 100), lambda n: (20, 2, 1, 20, 0.05, 0.0, n)),
}  # fmt: skip


def point(folder, size, arguments):
    """Analyse a fleet: seconds of processors, peak memory in GB, rows fetched, queries and outages."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        apart(fleets.write, place / "logs", *arguments)
        end = _after(arguments[1])
        command = ["-m", "amakit", "analyze", place / "logs", "--start", "2026-03-01", "--end", end, "--no-cache"]
        child = subprocess.Popen([sys.executable, *command, "--out", place / "out"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"the analysis of {size} failed")
        run = json.loads((place / "out" / "run.json").read_text(encoding="utf-8"))
        return {
            "size": size,
            "seconds": round(used.ru_utime + used.ru_stime, 2),
            "gb": round(used.ru_maxrss / 1e6, 2),
            "rows": sum(query["rows"] for query in run["queries"]),
            "queries": len(run["queries"]),
            "outages": sum(1 for _ in (place / "out" / "outages.csv").open(encoding="utf-8")) - 1,
        }
    finally:
        shutil.rmtree(place)


def apart(call, *arguments):
    """Call in a process of its own: the peak memory of a child is counted with that of the process that starts it."""
    process = multiprocessing.get_context("spawn").Process(target=call, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{call.__name__}{arguments} failed")


def _after(days):
    return str(dt.date(2026, 3, 1) + dt.timedelta(days=days))


def slope(points):
    """How the seconds grow at the end: 1 is in proportion, 2 is fourfold for twice as much."""
    (a, b) = points[-2:]
    return math.log(b["seconds"] / a["seconds"]) / math.log(b["size"] / max(a["size"], 1))


def drawn(curves, path):
    """Draw seconds and memory of every curve."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "amakit"
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), layout="constrained")
    for panel, (name, points) in zip(panels, curves.items(), strict=True):
        sizes = [max(p["size"], 1) for p in points]
        panel.loglog(sizes, [p["seconds"] for p in points], "o-", color="#0072b2", label="seconds")
        panel.loglog(sizes, [p["gb"] for p in points], "s--", color="#d55e00", label="GB")
        panel.set_title(f"{name}: slope {slope(points):.2f}", fontsize=9)
        panel.set_xlabel(CURVES[name][0], fontsize=7)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main():
    """Grow every curve, print a table, and with --write draw it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where fleets are written, and removed again")
    parser.add_argument("--quick", action="store_true", help="leave out the largest two of each curve")
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--write", action="store_true", help="draw benchmarks/growth.svg")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(machine(), "", sep="\n")
    print("| curve | size | CPU s | GB | rows fetched | queries | outages |", "|---|---|---|---|---|---|---|", sep="\n")
    curves = {}
    for name in given.curves:
        _, sizes, arguments = CURVES[name]
        curves[name] = []
        for size in sizes[: -2 if given.quick else None]:
            found = point(given.folder, size, arguments(size))
            curves[name].append(found)
            print("|", name, "|", " | ".join(f"{value:,}" for value in found.values()), "|", flush=True)
    for name, points in curves.items():
        print(f"\n{name}: {CURVES[name][0]}; slope at the end {slope(points):.2f}")
    if given.write:
        drawn(curves, HERE / "growth.svg")


if __name__ == "__main__":
    main()
