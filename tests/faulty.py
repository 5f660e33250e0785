"""A Kusto service that misbehaves on purpose: right answers of the embedded engine, spoiled on their way."""

import contextlib
import json
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
from duckdb_kql.errors import KqlError
from duckdb_kql.server import build_server, error_response, v1_response, v2_response


def results(frames):
    """Give the frame that holds the rows."""
    return next(f for f in frames if f.get("TableKind") == "PrimaryResult")


def api_error(code, words, permanent=False):
    inner = {"code": code, "message": words, "@type": "Kusto.X", "@message": words, "@permanent": permanent}
    return {"error": inner}


LIMITS = "Query result set has exceeded the internal record count limit 500000 (E_QUERY_RESULT_SET_TOO_LARGE)"


# -- answers that are spoiled: each takes the right frames and gives status, headers and body -----------------


def ok(frames):
    return 200, {}, json.dumps(frames)


def with_rows(change):
    def fault(frames):
        results(frames)["Rows"] = change(results(frames)["Rows"])
        return ok(frames)

    return fault


def error_at_the_end(frames):
    frames[-1] |= {"HasErrors": True, "OneApiErrors": [api_error("LimitsExceeded", "Shard lost")]}
    results(frames)["Rows"] = results(frames)["Rows"][:1]
    return ok(frames)


def error_in_completion_table(frames):
    told = next(f for f in frames if f.get("TableKind") == "QueryCompletionInformation")
    names = [c["ColumnName"] for c in told["Columns"]]
    row = [*told["Rows"][0]]
    row[names.index("Level")] = 2
    told["Rows"].append(row)
    results(frames)["Rows"] = []
    return ok(frames)


def progressive(frames):
    table = results(frames)
    at = frames.index(table)
    pieces = [
        {"FrameType": "TableHeader", "TableId": 1, "TableKind": "PrimaryResult", "Columns": table["Columns"]},
        {"FrameType": "TableFragment", "TableId": 1, "TableFragmentType": "DataAppend", "Rows": table["Rows"]},
        {"FrameType": "TableCompletion", "TableId": 1, "RowCount": len(table["Rows"])},
    ]
    return ok(frames[:at] + pieces + frames[at + 1 :])


def said(status, body, **headers):
    return lambda frames: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def without_a_row(rows):
    """Lose every other row, and at least one."""
    return rows[1::2]


FAULTS = {
    "too many requests": said(429, json.dumps(api_error("Throttled", "slow down")), Retry_After="7"),
    "too many requests, no time": said(429, "{}"),
    "busy": said(503, json.dumps(api_error("ServiceUnavailable", "busy")), Retry_After="2"),
    "broken": said(500, json.dumps(api_error("InternalServiceError", "boom"))),
    "a gateway's JSON": said(502, '{"message": "bad gateway"}'),
    "a gateway's list": said(502, "[1, 2]"),
    "a gateway's page": said(502, "<html>\n<h1>Bad Gateway</h1></html>", Content_Type="text/html"),
    "a gateway's timeout": said(504, '{"message": "upstream timed out"}'),
    "an empty 200": said(200, ""),
    "a 204": said(204, ""),
    "words": said(200, "all is well"),
    "a page": said(200, "<html>Sign in to the guest network</html>"),
    "null": said(200, "null"),
    "an empty list": said(200, "[]"),
    "an empty object": said(200, "{}"),
    "a number": said(200, "5"),
    "a partial answer of the REST API": said(200, json.dumps({"tables": []} | api_error("PartialError", "half"))),
    "error in a row": with_rows(lambda rows: [*rows[:1], {"OneApiErrors": [api_error("LimitsExceeded", "Shard lost")]}]),
    "result too large, in a row": with_rows(lambda rows: [*rows[:1], {"OneApiErrors": [api_error("LimitsExceeded", LIMITS)]}]),
    "result too large": said(400, json.dumps(api_error("LimitsExceeded", LIMITS, True))),
    "out of memory": said(400, json.dumps(api_error("LimitsExceeded", "Runaway query (E_RUNAWAY_QUERY).", True))),
    "error only at the end": error_at_the_end,
    "error only in the completion table": error_in_completion_table,
    "progressive": progressive,
    "cut at the row cap": with_rows(without_a_row),
    "no rows at all": with_rows(lambda rows: []),
    "no end": lambda frames: ok(frames[:-1]),
    "no result": lambda frames: ok([f for f in frames if f.get("TableKind") != "PrimaryResult"]),
    "two results": lambda frames: ok([*frames[:-1], results(frames), frames[-1]]),
    "rows too short": with_rows(lambda rows: [row[:-1] for row in rows] or [[]]),
    "a cut body": "cut",
    "a connection that is reset": "reset",
    "a connection that is closed": "closed",
}  # fmt: skip


def with_cells(kind, change):
    """Change every value of one KQL type, in every row."""

    def fault(frames):
        table = results(frames)
        at = [n for n, column in enumerate(table["Columns"]) if column["ColumnType"] == kind]
        for row in table["Rows"]:
            for n in at:
                row[n] = row[n] and change(row[n])
        return ok(frames)

    return fault


def another_type(kind, other):
    def fault(frames):
        for column in results(frames)["Columns"]:
            if column["ColumnType"] == kind and column["ColumnName"] != "AnswerRows":
                column["ColumnType"] = other
        return with_cells(other, str)(frames)

    return fault


def renamed(frames):
    for column in results(frames)["Columns"]:
        column["ColumnName"] += "2" * (column["ColumnName"] != "AnswerRows")
    return ok(frames)


def thirty_days_later(text):
    return (pd.Timestamp(text) + pd.Timedelta(days=30)).isoformat().replace("+00:00", "Z")


#: Answers that are whole by their count, and are not the answer to what was asked.
LIES = {
    "times beyond reason": with_cells("datetime", lambda _: "9999-12-31T23:59:59.9999999Z"),
    "times that are none": with_cells("datetime", lambda _: "noon"),
    "no times": with_cells("datetime", lambda _: None),
    "another window": with_cells("datetime", thirty_days_later),
    "numbers beyond 64 bits": with_cells("long", lambda n: n * 2**70),
    "texts for times": another_type("datetime", "string"),
    "texts with half a sign": with_cells("string", lambda text: text + "\ud800"),
    "other columns": renamed,
}  # fmt: skip


class Faulty(ThreadingHTTPServer):
    """A service over a DuckDB file.

    Attributes
    ----------
    fault : callable
        Is given the number of the request (from 0) and its text, and names a fault, gives one, or None.
    cap : int or None
        More rows than that are left out without a word.
    asked : list of str
        The text of every request.
    busiest : int
        How many requests there were at once at most.
    delay : float
        For how many seconds every answer is held back.
    token : str
        Must stand in every request, when there is one.
    listed : dict of str to dict
        Tables, and the KQL type of each column, that the list of a workspace has beside those of the file: whoever asks
        them is told that there is no such table.
    commands : set of str
        What a workspace answers beside queries, as its strict parser of commands: of schema, tables and databases.
    permissions : dict
        What the query API tells of the permissions of whoever asks.
    metadata : dict or None
        Where to sign in, as the endpoint tells it.
    unlisted : set of str
        Columns that the lists of columns of a workspace leave out.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self._engine = build_server(str(path), port=0, quiet=True)
        self._engine.server_close()  # only what is behind the socket is of use
        self._answers, self._lock = {}, threading.Lock()
        self.path = path
        self.renew()

    def renew(self):
        """Forget what was asked, and be good again."""
        self.fault, self.cap, self.delay, self.token = (lambda number, text: None), None, 0.0, ""
        self.asked, self.paths, self.headers, self.now, self.busiest, self.listed = [], [], [], 0, 0, {}
        self.commands, self.unlisted, self.metadata = {"schema"}, set(), None
        self.permissions = {}
        return self

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/{self.path.stem}"

    def right(self, text, command):
        """Give status and the right answer; the same text has the same one."""
        if (text, command) not in self._answers:
            try:
                result = self._engine.run(text.replace("ingestion_time()", "_TimeReceived"), None, None, {})
                found = 200, v1_response(result) if command else v2_response(result, "x")
            except (KqlError, RuntimeError, Exception) as error:
                found = 400, error_response(str(error))
            self._answers[text, command] = found[0], json.dumps(found[1])
        status, body = self._answers[text, command]
        return status, json.loads(body)

    def commanded(self, text):
        """Answer a command as Log Analytics does, whose parser knows few of them and no operator behind one."""
        name = next(
            (
                n
                for n, form in {
                    "schema": r"\.show database \['\w+'\] schema as json",
                    "tables": r"\.show tables",
                    "databases": r"\.show databases",
                }.items()
                if re.fullmatch(form, text)
            ),
            "",
        )
        if name not in self.commands:
            words = (
                f'management command parsing failed: Expected "(", "identity" or end of input but {text[-1]!r} found.'
            )
            return 400, {"error": {"message": words, "code": "BadArgumentError"}}
        if name == "databases":
            columns = [
                {"ColumnName": c, "DataType": "String"} for c in ("DatabaseName", "PersistentStorage", "PrettyName")
            ]
            return 200, {
                "Tables": [{"TableName": "Table_0", "Columns": columns, "Rows": [[self.path.stem, "", "Ops"]]}]
            }
        return 200, self.schema() if name == "schema" else self.right(".show tables", True)[1]

    def schema(self):
        """Answer as Log Analytics lists its tables."""
        _, listed = self.right(".show tables | project TableName", True)
        tables = {}
        for (name,) in listed["Tables"][0]["Rows"]:
            _, frames = self.right(f"['{name}'] | getschema | project ColumnName, ColumnType", False)
            columns = [{"Name": c, "CslType": kind} for c, kind in results(frames)["Rows"] if c not in self.unlisted]
            tables[name] = {"Name": name, "OrderedColumns": columns}
        for name, columns in self.listed.items():
            tables[name] = {"Name": name, "OrderedColumns": [{"Name": c, "CslType": k} for c, k in columns.items()]}
        text = json.dumps({"Databases": {"Ops": {"Name": "Ops", "Tables": tables}}})
        columns = [{"ColumnName": "DatabaseSchema", "DataType": "String"}]
        return {"Tables": [{"TableName": "Table_0", "Columns": columns, "Rows": [[text]]}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20  # head and body in one piece: in two, every answer waits 40 ms for an acknowledgement

    def log_message(self, *_):
        pass

    def do_GET(self):
        told = self.server.metadata if self.path.endswith("/v1/rest/auth/metadata") else None
        self._send(200 if told else 404, {}, json.dumps(told or {}))

    @property
    def _logs(self):
        """Whether the query API of Azure Monitor Logs is meant."""
        return self.path.startswith("/v1/subscriptions/")

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["query" if self._logs else "csl"]
        with server._lock:
            number = len(server.asked)
            server.asked.append(text)
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            server.now += 1
            server.busiest = max(server.busiest, server.now)
        try:
            time.sleep(server.delay)
            self._answer(number, text, body.get("db", server.path.stem))
        finally:
            with server._lock:
                server.now -= 1

    def _answer(self, number, text, database):
        server, command = self.server, self.path.endswith("/mgmt")
        azure = self.path.startswith(("/subscriptions/", "/v1/subscriptions/"))
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            return self._send(401, {}, json.dumps(api_error("AuthenticationFailed", "no such token")))
        fault = server.fault(number, text)
        fault = FAULTS.get(fault, fault) if isinstance(fault, str) else fault
        if azure and command:
            status, right = server.commanded(text)
        elif azure and database != server.path.stem:
            words = f"Entity ID '{database}' of kind 'Database' was not found."
            status, right = 400, api_error("BadRequest_EntityNotFound", words, True)
        else:
            status, right = server.right(text, command)
        if azure and status == 400 and "unknown table" in json.dumps(right):
            name = re.search(r"(?m)^(let Answer = materialize\()?(\[')?(\w+)", text)[3]
            words = f"'where' operator: Failed to resolve table or column expression named '{name}'"
            right = {
                "error": {
                    "message": "x",
                    "code": "BadArgumentError",
                    "innererror": {"code": "SEM0100", "message": words},
                }
            }
        if status == 200 and "getschema" in text and server.unlisted:
            table = results(right)
            kept = [row for row in table["Rows"] if row[0] not in server.unlisted]
            lost = len(table["Rows"]) - len(kept)
            table["Rows"] = [[*row[:-1], row[-1] and row[-1] - lost] for row in kept]
        if callable(fault) and (status != 200 or command) and fault(v2_answer())[0] == 200:
            fault = None  # it would spoil frames, and here are none
        if status == 200 and not command and server.cap is not None:
            results(right)["Rows"] = results(right)["Rows"][: server.cap]
        headers, text = {}, None
        if callable(fault):
            status, headers, text = fault(right if not command else v2_answer())
            fault = None
        text = json.dumps(right) if text is None else text
        if self._logs and status == 200 and text.startswith("[{"):
            text = as_logs(json.loads(text), server.permissions if "permissions" in self.headers["Prefer"] else None)
            fault = fault or ("cut" if text is None else None)
        return self._send(status, headers, text or "{}", fault)

    def _send(self, status, headers, body, broken=None):
        data = body.encode()
        if broken == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if broken in ("reset", "closed"):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()
            self.rfile = self.wfile = _Nothing()
            return
        with contextlib.suppress(OSError):  # whoever asked may be gone
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if broken == "cut" else data)
        if broken == "cut":
            self.close_connection = True


def as_logs(frames, permissions=None):
    """Give what the query API of Azure Monitor Logs makes of an answer; nothing of one that has no end."""
    if frames[-1].get("FrameType") != "DataSetCompletion":
        return None
    found = [f for f in frames if f.get("TableKind") == "PrimaryResult" and f["FrameType"] == "DataTable"]
    tables = []
    for frame in found:
        columns = [{"name": c["ColumnName"], "type": c["ColumnType"]} for c in frame["Columns"]]
        rows, errors = [], [row for row in frame["Rows"] if isinstance(row, dict)]
        for row in (row for row in frame["Rows"] if isinstance(row, list)):
            rows.append([json.dumps(cell) if isinstance(cell, (dict, list)) else cell for cell in row])
        tables.append({"name": "PrimaryResult", "columns": columns, "rows": rows})
    told = [f for f in frames if f.get("TableKind") == "QueryCompletionInformation"]
    bad = [row for f in told for row in f["Rows"] if 2 in row]
    body = {"tables": tables} | ({"permissions": permissions} if permissions is not None else {})
    if frames[-1].get("HasErrors") or bad or (found and errors):
        words = json.dumps([frames[-1].get("OneApiErrors"), bad, errors])
        body["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [{"code": "EngineError", "message": words}],
        }
    return json.dumps(body)


class _Nothing:
    """Stands for the files of a connection that is gone."""

    closed = True

    def flush(self):
        pass

    def close(self):
        pass

    def readline(self, *_):
        return b""


def v2_answer():
    """Give frames without a row in them."""
    from duckdb_kql.server import Result

    return v2_response(Result([], []), "x")


@contextlib.contextmanager
def served(path):
    """Run a service over a DuckDB file."""
    server = Faulty(path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        server._engine._con.close()
