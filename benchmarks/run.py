"""Run amakit and its peers side by side and print a table: ``python run.py FOLDER [--rounds N] [--write]``.

Every contender is a process of its own, so that its memory is its own; rounds take turns, so that a noisy minute hits
all alike.  Times are from the start of the process to its end, medians over the rounds.
"""

import argparse
import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import fleets

HERE = Path(__file__).parent
#: Which contender runs on which fleet; the first of each is what the others are compared with.
RACES = {
    "machines-100": ["amakit_analyze", "amakit_again", "scan", "first_pass", "lag_by_computer", "lag_by_id",
                     "polars_diff", "pandas_diff", "hourly_availability"],
    "machines-1000": ["amakit_analyze", "amakit_again", "scan", "first_pass", "lag_by_computer", "lag_by_id",
                      "polars_diff", "hourly_availability"],
    "machines-1000-calm": ["amakit_analyze"],
    "machines-1000-busy": ["amakit_analyze"],
    "machines-10000": ["amakit_analyze", "scan"],
    "perf-50": ["amakit_analyze"],
    "year-100": ["amakit_analyze"],
}  # fmt: skip
#: More rounds would show no more where one takes minutes.
LONG = {"machines-10000": 2}


def measure(contender, folder):
    """Give seconds, peak memory in GB, what the contender found, and seconds of processors."""
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, HERE / "contenders.py", contender, folder], stdout=subprocess.PIPE)
    said = child.stdout.read().decode().split()
    _, status, used = os.wait4(child.pid, 0)
    found = "failed" if status else said[-1]
    return time.perf_counter() - begun, used.ru_maxrss / 1e6, found, used.ru_utime + used.ru_stime


def race(folder, contenders, rounds):
    """Give a table row for each contender."""
    runs = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in contenders:
            runs[name].append(measure(name, folder))
            print(".", end="", file=sys.stderr, flush=True)
    medians = {name: statistics.median(run[0] for run in found) for name, found in runs.items()}
    own = medians[contenders[0]]
    if "amakit_again" in runs:  # the first round made what the others find
        runs["amakit_again"] = runs["amakit_again"][1:] or runs["amakit_again"]
        medians["amakit_again"] = statistics.median(run[0] for run in runs["amakit_again"])
    for name, found in runs.items():
        spread = f"{min(run[0] for run in found):.1f} to {max(run[0] for run in found):.1f}"
        busy = statistics.median(run[3] for run in found)
        yield (
            f"| {folder.name} | {name} | {medians[name]:.1f} | {spread} | {medians[name] / own:.2f} "
            f"| {busy:.1f} | {max(run[1] for run in found):.2f} | {found[-1][2]} |"
        )


def machine():
    """Say on what the figures were taken."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("amakit", "duckdb", "duckdb-kql", "pandas", "polars"))
    return (
        f"{dt.date.today()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {libraries}"
    )


def main():
    """Make the fleets that are not there, race, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the fleets are kept; 8 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fleets", nargs="+", choices=RACES, default=list(RACES))
    given = parser.parse_args()
    print(machine(), "", sep="\n")
    print(
        "| fleet | contender | seconds | from, to | × | CPU s | GB | found |",
        "|---|---|---|---|---|---|---|---|",
        sep="\n",
    )
    for name in given.fleets:
        folder = fleets.make(given.folder, name)
        for row in race(folder, RACES[name], min(given.rounds, LONG.get(name, given.rounds))):
            print(row, flush=True)


if __name__ == "__main__":
    main()
