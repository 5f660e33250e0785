"""A small fleet behind a service on loopback, and what the tests of both ways to ask a workspace share."""

import json
import time

import numpy as np
import pandas as pd
from azure.core.credentials import AccessToken
from click.testing import CliRunner
from fleet import beats

import amakit
from amakit import cli
from amakit.analysis import TABLES

START, END = "2026-03-02", "2026-03-06"
SLOTS = [("web-01", 10), ("web-02", 13), ("db-01", 17)]


def fleet_of():
    """Three machines that upgrade, one that only beats; counters every minute, and events."""
    parts, counters, events = [], [], []
    for number, (name, hour) in enumerate(SLOTS):
        day = f"2026-03-0{3 + number}"
        stop, back = f"{day} {hour}:00:20", f"{day} {hour}:04:40"
        version = [("1.37.0", "2026-03-02", stop), ("1.38.1", back, "2026-03-06")]
        parts.append(beats(name, version))
        ticks = pd.date_range("2026-03-02", "2026-03-06", freq="60s", tz="UTC", inclusive="left").as_unit("us")
        away = (ticks >= pd.Timestamp(stop, tz="UTC")) & (ticks < pd.Timestamp(back, tz="UTC"))
        common = {"Computer": name, "_ResourceId": f"/subscriptions/0/resourceGroups/rg/VM/{name}"}
        counters.append(
            pd.DataFrame(
                {
                    "TimeGenerated": ticks[~away],
                    "ObjectName": "Processor",
                    "CounterValue": 1.0,
                    "CounterName": "% Processor Time",
                    "InstanceName": "_Total",
                }
            ).assign(**common)
        )
        spread = pd.to_timedelta(np.random.default_rng(number).uniform(0, 4 * 86400, 4000), unit="s").round("ms")
        written = (pd.Timestamp("2026-03-02", tz="UTC") + spread.sort_values()).as_unit("us")
        events.append(
            pd.DataFrame(
                {"TimeGenerated": written, "EventID": 4, "Source": "x", "RenderedDescription": "", "EventLog": "System"}
            ).assign(**common)
        )
    parts.append(beats("app-01", [("1.38.1", "2026-03-02", "2026-03-06")]))
    tables = {"Heartbeat": pd.concat(parts), "Perf": pd.concat(counters), "Event": pd.concat(events)}
    received = {"_TimeReceived": lambda rows: (rows["TimeGenerated"] + pd.Timedelta(seconds=1)).dt.tz_localize(None)}
    return {name: rows.assign(**received) for name, rows in tables.items()}


def same(found, expected):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(found, table), getattr(expected, table), obj=table)


def analyzed(service, **options):
    with amakit.connect(service.address) as workspace:
        return amakit.analyze(workspace, START, END, **options)


def one_sentence(text):
    assert "\n" not in text
    assert 20 < len(text) < 900
    assert "Traceback" not in text
    return text


ARM = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/rg-1/providers/Microsoft.OperationalInsights/workspaces/Ops-1"
OPS = ARM.replace("Ops-1", "Ops")
TOKEN = "eyJ0eXAi.very-secret-token.x9"


class FakeCredential:
    def __init__(self, error=None):
        self.error, self.scopes = error, []

    def get_token(self, *scopes, **_):
        self.scopes += scopes
        if self.error:
            raise self.error
        return AccessToken(TOKEN, int(time.time()) + 3600)


def run(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def la_error(code, words, inner=""):
    body = {"error": {"message": words, "code": code, "correlationId": "x"}}
    if inner:
        body["error"]["innererror"] = {"code": inner, "message": words}
    return json.dumps(body)
