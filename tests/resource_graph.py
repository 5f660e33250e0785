"""Azure Resource Graph on this machine: the same KQL over resources as Azure Resource Manager describes them, in pages.

As documented: at most 1,000 rows a page, a token for the next, totals in each answer, headers that tell how often one may
ask still, and rows of what may not be read left out without a word.
"""

import contextlib
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb

from amakit.embedded.translate import to_sql

ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
_COLUMNS = ("id", "type", "name", "subscriptionId", "location", "tags", "properties")
_DYNAMIC = ("tags", "properties")


def agent(machine, os_type="Linux", provider="Microsoft.Compute/virtualMachines", **properties):
    """Describe the agent's extension on a machine."""
    kind = f"AzureMonitor{os_type}Agent"
    told = {
        "publisher": "Microsoft.Azure.Monitor",
        "type": kind,
        "typeHandlerVersion": "1.0",
        "autoUpgradeMinorVersion": True,
        "provisioningState": "Succeeded",
    }
    return resource(f"{machine}/extensions/{kind}", f"{provider}/extensions", properties=told | properties)


def resource(path, kind, location="westeurope", tags=None, properties=None):
    """Describe a resource."""
    subscription = path.split("/")[2]
    return {
        "id": path,
        "type": kind.lower(),
        "name": path.rpartition("/")[2],
        "subscriptionId": subscription,
        "location": location,
        "tags": tags,
        "properties": properties or {},
    }


def virtual_machine(name, group="rg", subscription=ONE, computer="", power="running", os_type="Linux", **more):
    """Describe a virtual machine."""
    path = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"
    told = {
        "vmId": f"vm-of-{name}",
        "osProfile": {"computerName": computer or name},
        "storageProfile": {"osDisk": {"osType": os_type}},
        "timeCreated": "2025-01-02T03:04:05.678Z",
        "extended": {"instanceView": {"powerState": {"code": f"PowerState/{power}"}}},
    }
    return resource(path, "Microsoft.Compute/virtualMachines", properties=told, **more)


class Graph(ThreadingHTTPServer):
    """Resource Graph over some resources.

    Attributes
    ----------
    readable : set of str
        The subscriptions that the sign-in may read.
    fault : callable
        Is given the number of the request (from 0), and gives status, body and headers, or None.
    most : int
        So many rows on a page, whatever is asked for.
    """

    daemon_threads = True

    def __init__(self, resources, instances):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = f"http://127.0.0.1:{self.server_port}"
        subscriptions = sorted({one["subscriptionId"] for one in resources})
        containers = [resource(f"/subscriptions/{one}", "Microsoft.Resources/subscriptions") for one in subscriptions]
        self.tables, self.lock = duckdb.connect(), threading.Lock()
        parts = {"resources": resources, "resourcecontainers": containers, "computeresources": instances}
        for table, rows in parts.items():
            cells = ", ".join(f'"{name}" {"JSON" if name in _DYNAMIC else "VARCHAR"}' for name in _COLUMNS)
            self.tables.execute(f"CREATE TABLE {table} ({cells})")
            for row in rows:
                cells = [json.dumps(row[name]) if name in _DYNAMIC else row[name] for name in _COLUMNS]
                self.tables.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)", cells)
        self.subscriptions = set(subscriptions)
        self.renew()

    def renew(self):
        self.readable, self.most, self.fault = set(self.subscriptions), 1000, (lambda number: None)
        self.asked, self.authorized, self.change, self.headers = [], [], (lambda told: told), {}
        return self

    def answer(self, asked):
        options = asked["options"]
        scope = self.readable & set(asked.get("subscriptions") or self.readable)
        sql = _translated(asked["query"])
        cursor = self.tables.execute(str(sql), sql.parameters or None)
        names = [name for name, *_ in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        found = [
            row | {"tags": json.loads(row.get("tags") or "null")} for row in found if row["id"].split("/")[2] in scope
        ]
        first, top = int(options.get("$skipToken", 0)), min(options["$top"], self.most)
        page = found[first : first + top]
        told = {"totalRecords": len(found), "count": len(page), "resultTruncated": "false", "facets": [], "data": page}
        return told | ({"$skipToken": str(first + top)} if first + top < len(found) else {})


@functools.cache
def _translated(kql):
    kinds = {name: "dynamic" if name in _DYNAMIC else "string" for name in _COLUMNS}
    return to_sql(kql, dict.fromkeys(("resources", "resourcecontainers", "computeresources"), kinds), None)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        assert self.path.startswith("/providers/Microsoft.ResourceGraph/resources?api-version=")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.asked)
            server.asked.append(asked)
            server.authorized.append(self.headers.get("Authorization"))
            answer = server.fault(number)
            if answer is None:
                answer = 200, json.dumps(server.change(server.answer(asked)), default=str), server.headers
        status, body, headers = answer
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def served(resources, instances=()):
    """Serve Resource Graph over some resources."""
    server = Graph(resources, list(instances))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        server.tables.close()
