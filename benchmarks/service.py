"""What a service has to do for each way to the answer: ``python service.py FOLDER`` prints a table.

One fleet lies in a DuckDB file behind the REST server of duckdb-kql, on loopback; a counter stands before it.  What
others publish is asked with Microsoft's client, amakit as the whole command.
"""

import argparse
import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import fleets
from run import machine

WINDOW = "TimeGenerated >= datetime(2026-03-01) and TimeGenerated < datetime(2026-03-31)"
#: Ways to find when agents were away, and what each of them finds.
WAYS = {
    "hourly availability": (
        f"Heartbeat | where {WINDOW} | summarize Beats = count() by bin(TimeGenerated, 1h), Computer "
        "| summarize Available = countif(Beats > 0), First = min(TimeGenerated), Last = max(TimeGenerated) by Computer",
        "hours without any heartbeat, of a machine name",
    ),
    "last heartbeat, as workbooks show it": (
        f"Heartbeat | where {WINDOW} | summarize arg_max(TimeGenerated, *) by Computer",
        "who is silent now",
    ),
    "every heartbeat, spacings at home": (
        f"Heartbeat | where {WINDOW} | project Computer, TimeGenerated, Version",
        "gaps, of a machine name",
    ),
    "first and last heartbeat of each version": (
        f"Heartbeat | where {WINDOW} | summarize min(TimeGenerated), max(TimeGenerated) by Computer, Version",
        "changes of version without length or loss",
    ),
}


class Counter(http.server.BaseHTTPRequestHandler):
    """Passes requests on, and counts them and the bytes of their answers."""

    protocol_version = "HTTP/1.1"
    target, requests, received = 0, 0, 0

    def do_POST(self) -> None:
        """Pass one request on."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        there = http.client.HTTPConnection("127.0.0.1", Counter.target, timeout=3600)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
        there.request("POST", self.path, body, kept)
        answer = there.getresponse()
        data = answer.read()
        Counter.requests += "/query" in self.path
        Counter.received += len(data)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def busy(pid):
    """Seconds of processors that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    """Serve the fleet, ask in each way, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fleet", choices=fleets.FLEETS, default="machines-100")
    given = parser.parse_args()
    source = fleets.make(given.folder, given.fleet)
    database = given.folder / f"{given.fleet}.duckdb"
    if not database.exists():
        import duckdb

        with duckdb.connect(str(database)) as db:
            db.execute(f"CREATE TABLE Heartbeat AS FROM read_parquet('{source}/Heartbeat/*.parquet')")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counter) as counter:
        threading.Thread(target=counter.serve_forever, daemon=True).start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            Counter.target = probe.getsockname()[1]
        program = "import sys; from duckdb_kql.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "serve", str(database), "-p", str(Counter.target)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _until_ready()
                address = f"http://127.0.0.1:{counter.server_port}/{given.fleet}"
                print(machine(), "", sep="\n")
                print("| way | requests | rows | MB | server CPU s | finds |", "|---|---|---|---|---|---|", sep="\n")
                for name, (kql, finds) in WAYS.items():
                    _told(name, server.pid, lambda kql=kql: _asked(address, kql), finds)
                _told("amakit analyze", server.pid, lambda: _analysed(address), "outages, causes, losses, with bounds")
            finally:
                server.kill()


def _until_ready():
    for _ in range(600):
        try:
            http.client.HTTPConnection("127.0.0.1", Counter.target, timeout=1).connect()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server was not ready after a minute")


def _told(name, pid, ask, finds):
    Counter.requests, Counter.received, before = 0, 0, busy(pid)
    rows = ask()
    cost = f"{Counter.requests:,} | {rows:,} | {Counter.received / 1e6:.1f} | {busy(pid) - before:.1f}"
    print(f"| {name} | {cost} | {finds} |", flush=True)


def _asked(address, kql):
    import amakit

    with amakit.connect(address) as workspace:
        return len(workspace.query(kql))


def _analysed(address):
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "amakit", "analyze", address, "--start", "2026-03-01", "--end", "2026-03-31"]
        subprocess.run([*command, "--no-cache", "--out", f"{out}/o"], check=True, capture_output=True)
        run = json.loads(Path(out, "o", "run.json").read_text(encoding="utf-8"))
    return sum(query["rows"] for query in run["queries"])


if __name__ == "__main__":
    main()
