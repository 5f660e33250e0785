"""A Kusto service that misbehaves on purpose: right answers of the embedded engine, spoiled on their way."""

import contextlib
import json
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
        return self

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/{self.path.stem}"

    def right(self, text, command):
        """Give status and the right answer; the same text has the same one."""
        if (text, command) not in self._answers:
            try:
                result = self._engine.run(text, None, None, {})
                found = 200, v1_response(result) if command else v2_response(result, "x")
            except (KqlError, RuntimeError, Exception) as error:
                found = 400, error_response(str(error))
            self._answers[text, command] = found[0], json.dumps(found[1])
        status, body = self._answers[text, command]
        return status, json.loads(body)

    def schema(self):
        """Answer as Log Analytics lists its tables."""
        _, listed = self.right(".show tables | project TableName", True)
        tables = {}
        for (name,) in listed["Tables"][0]["Rows"]:
            _, frames = self.right(f"['{name}'] | getschema | project ColumnName, ColumnType", False)
            columns = [{"Name": column, "CslType": kind} for column, kind in results(frames)["Rows"]]
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
        self._send(404, {}, "{}")

    def do_POST(self):
        server = self.server
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["csl"]
        with server._lock:
            number = len(server.asked)
            server.asked.append(text)
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            server.now += 1
            server.busiest = max(server.busiest, server.now)
        try:
            time.sleep(server.delay)
            self._answer(number, text)
        finally:
            with server._lock:
                server.now -= 1

    def _answer(self, number, text):
        server, command = self.server, self.path.endswith("/mgmt")
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            return self._send(401, {}, json.dumps(api_error("AuthenticationFailed", "no such token")))
        fault = server.fault(number, text)
        fault = FAULTS.get(fault, fault) if isinstance(fault, str) else fault
        if text.startswith(".show database") and self.path.startswith("/subscriptions/"):
            status, right = 200, server.schema()
        else:
            status, right = server.right(text, command)
        if callable(fault) and (status != 200 or command) and fault(v2_answer())[0] == 200:
            fault = None  # it would spoil frames, and here are none
        if status == 200 and not command and server.cap is not None:
            results(right)["Rows"] = results(right)["Rows"][: server.cap]
        if callable(fault):
            return self._send(*fault(right if not command else v2_answer()))
        return self._send(status, {}, json.dumps(right), fault)

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
