"""%%kql in a real IPython: values as literals, the place of an error, completion, and one sentence for each failure."""

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import nbformat
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient

import amakit
from amakit.errors import AmakitError, UsageError
from amakit.kql.catalog import packaged
from amakit.kql.placeholders import fill
from amakit.lab.display import of_analysis
from amakit.schemas import RESULTS, meanings
from amakit.service import kusto

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
UTC = dt.UTC
#: What a value could break out with, and what a cell may hold around it.
HOSTILE = ['"', "'", "\\", '\\"', "\n", "\r\n", "//", "/*", ";", "|", ")", "{a}", "{{a}}", "}", "@", "h", "```", "~~~",
           "\u2028", "\x85", "\x00", "日本", "😀", "e\u0301", '"; print 1 //', ") | take 1 //", "datetime(null)"]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.characters(exclude_categories=["Cs"])), max_size=6).map("".join)


# -- a cell and its values -------------------------------------------------------------------------------------

#: Cells in which the values a and b may stand, and what else the parser finds in them.
AROUND = [
    ("print x = {a}, y = {b}", []),
    ("print x={a}\n// it's {a} \"\n, y={b}", []),
    ("print 'a{{b}}\"', x = {a}, @'c:\\', y = {b}", [("string", 'a{b}"'), ("string", "c:\\")]),
    ('print "\\"", x = {a}, h@"it""s", y = {b}', [("string", '"'), ("string", 'it"s')]),
    ("print ```{{a}} ' \" ```, x = {a}, y = strcat({b})", [("string", "{a} ' \" ")]),
    ('print dynamic({"k":{"l":{}}}), x={a},y={b}', [("key", "k"), ("key", "l")]),
    ("let f = (p:string) { p }; print f({a}), {b}", []),
    ("print datetime(2026-01-01), x={a}, y=tostring({b})", None),
]


@pytest.mark.parametrize(("cell", "others"), AROUND)
def test_the_official_parser_finds_each_value_as_one_string_whatever_is_around_it(cell, others, kql_parser):
    @SETTINGS
    @given(texts, texts)
    def holds(a, b):
        answer = kql_parser.check(fill(cell, {"a": a, "b": b}).text)
        assert answer["diagnostics"] == []
        found = [(part["type"], part["value"]) for part in answer["literals"]]
        expected = others if others is not None else [part for part in found if part[0] != "string"]
        assert sorted(found) == sorted([*expected, ("string", a), ("string", b)])

    holds()


#: Neighbours with which a literal could grow into another one, were it only put between them.
NEIGHBOURS = ["@", "h", "H@", "'", '"', "`", "```", "~~~", "x", "1", "{a}", "(", ")", "[", "]", "dynamic(", "datetime(",
              "long(", "guid (", " ", "\n", "//", "{", "}", ",", "\\", "-", "."]  # fmt: skip


def stays_inside(kql_parser, before, behind, value):
    """A value is refused, or the parser takes nothing of it for KQL: another one gives the same query but for it."""
    cell = f"print {before}{{a}}{behind}"
    try:
        text, plain = (fill(cell, {"a": a}).text for a in (f"{value}XX", "XX"))
    except UsageError:
        return True
    found, calm = kql_parser.check(text), kql_parser.check(plain)
    return all(
        [part[key] for part in found[kind]] == [part[key] for part in calm[kind]]
        for kind, key in (("diagnostics", "code"), ("literals", "type"))
    )


@SETTINGS
@given(
    st.lists(st.sampled_from(NEIGHBOURS), max_size=6).map("".join),
    st.lists(st.sampled_from(NEIGHBOURS), max_size=4).map("".join),
    texts,
)
def test_no_value_gets_out_of_its_literal_in_whatever_cell(kql_parser, before, behind, value):
    assert stays_inside(kql_parser, before, behind, value)


@pytest.mark.parametrize("before", NEIGHBOURS)
def test_no_neighbour_lets_a_hostile_value_out(kql_parser, before):
    for value in [*HOSTILE, 'x) | take 1 //"', '") | take 1 //', "' | take 1 //", '\\" | take 1 //']:
        assert stays_inside(kql_parser, before, ")", value)
        assert stays_inside(kql_parser, before, before, value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "long(3)"), (True, "true"), (["a", 1], 'dynamic(["a",1])'), ({"x"}, 'dynamic(["x"])'),
        (pd.Series(["a", "b"]), 'dynamic(["a","b"])'), (pd.Series([1, 2]).to_numpy(), "dynamic([1,2])"),
        (dt.datetime(2026, 3, 1, tzinfo=UTC), "datetime(2026-03-01T00:00:00.000000Z)"),
        (pd.DataFrame({"Name": ["x"]}), 'datatable(Name:string)["x"]'),
    ],
)  # fmt: skip
def test_a_value_becomes_the_literal_of_its_type(value, text):
    assert fill("print {value}", {"value": value}).text == f"print {text}"


@pytest.mark.parametrize(
    ("cell", "sentence", "place"),
    [
        ("T\n| where a == {nmae}", "{nmae} stands for a Python value, but there is none of this name; the nearest is 'name'",
         "   3 | where a == {nmae}\n                  ^"),
        ("T | where a == {zz}", "{zz} stands for a Python value, but there is none of this name; set it first, or write "
         "{{zz}} for the braces themselves", None),
        ("print '{name}'", "{name} stands inside a string, where no value goes; write {name} alone, as a value brings its "
         "quotes and its type along, or {{name}} for the braces themselves", "   2 print '{name}'\n            ^"),
        ("print datetime({name})", "{name} stands inside datetime(…), where no value goes; write {name} alone, as a value "
         "brings its quotes and its type along, or {{name}} for the braces themselves", None),
        ("print '日本', {when}", "{when} cannot be written as KQL: 2026-03-01 00:00:00 has no time zone; KQL times are UTC, so "
         "say which one is meant", "   2 print '日本', {when}\n                   ^"),
        ("print {print}", "{print} cannot be written as KQL: <built-in function print> is a builtin_function_or_method, for "
         "which KQL has no literal", None),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_in_is_said_in_one_sentence_that_points_at_it(cell, sentence, place):
    with pytest.raises(UsageError) as failed:
        fill(cell, {"name": "x", "when": pd.Timestamp("2026-03-01"), "print": print})
    assert str(failed.value) == sentence
    assert failed.value.place == (place or failed.value.place)
    assert failed.value.place.endswith("^")


# -- in IPython ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A folder of exported tables with a name that has to be quoted."""
    folder = tmp_path_factory.mktemp("my exports")
    rows = "TimeGenerated,Computer,Version\n2026-03-01T00:00:00Z,web-1,1.2\n2026-03-01T00:01:00Z,db|1,1.3\n"
    (folder / "Heartbeat.csv").write_text(rows, encoding="utf-8")
    return folder


@pytest.fixture
def shell():
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "amakit")
    yield shell
    shell.run_line_magic("unload_ext", "amakit")
    shell.history_manager.end_session()


def run(shell, cell):
    """Run a cell; give its result, what it printed, and the error."""
    with capture_output() as printed:
        result = shell.run_cell(cell)
    return result.result, printed.stdout, result.error_in_exec


def test_a_cell_gives_a_frame_and_a_named_one_binds_it(shell, logs):
    run(shell, f"%kql -w '{logs}'")
    shell.user_ns["who"] = "db|1"
    frame, printed, _ = run(shell, "%%kql\nHeartbeat | where Computer == {who} | project Computer, Version;")
    assert frame.to_dict("records") == [{"Computer": "db|1", "Version": "1.3"}]
    assert printed.startswith("1 row, 2 columns\nOut")
    frame, printed, _ = run(shell, "%%kql beats\n// all\nHeartbeat | project Computer")
    assert frame is None
    assert list(shell.user_ns["beats"]["Computer"]) == ["web-1", "db|1"]
    assert printed == "beats: 2 rows, 1 column\n"


def test_render_draws_a_chart_above_the_rows_and_the_frame_is_still_given(shell, logs, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    run(shell, f"%kql -w '{logs}'")
    kql = "Heartbeat | summarize n = count() by bin(TimeGenerated, 1m) | render timechart with (title='Beats')"
    frame, _, error = run(shell, f"%%kql\n{kql}")
    assert error is None
    (chart,) = shown
    assert chart.layout.title.text == "Beats"
    (trace,) = chart.data
    assert len(trace.x) == len(frame) == 2
    assert list(frame.columns) == ["TimeGenerated", "n"]


def test_what_is_not_drawn_is_said_and_the_frame_is_still_given(shell, logs):
    run(shell, f"%kql -w '{logs}'")
    frame, printed, error = run(shell, "%%kql\nHeartbeat | project Computer | render treemap")
    assert error is None
    assert len(frame) == 2
    assert "treemap" in printed


def test_a_workspace_of_the_notebook_is_taken_by_its_name_and_left_open(shell, logs):
    with amakit.connect(logs) as workspace:
        shell.user_ns["ws"] = workspace
        assert run(shell, "%kql -w ws")[0] is workspace
        run(shell, "%kql --connect demo")
        assert len(workspace.query("Heartbeat")) == 2
        assert run(shell, "%kql")[0].name == "demo"


def test_synthetic_data_is_said_to_be_so(shell):
    _, printed, _ = run(shell, "%%kql -w demo\nHeartbeat | take 3 | project Computer")
    assert printed.startswith("3 rows, 1 column, synthetic data\n")


def test_packaged_queries_are_listed_and_shown(shell):
    listed = run(shell, "%kql -l")[1].splitlines()
    assert [line.split()[0] for line in listed] == list(packaged())
    assert listed[list(packaged()).index("heartbeat_days")].endswith(packaged()["heartbeat_days"].question)
    assert run(shell, "%kql -l heartbeat_days")[1].rstrip() == packaged()["heartbeat_days"].source


BAD = {
    "%%kql\nHeartbeat": "no workspace is connected, and a kernel that was restarted has lost its own; connect one with "
    "%kql -w WORKSPACE, for example %kql -w demo",
    "%%kql -w nowhere\nHeartbeat": "workspace 'nowhere' does not exist; give",
    "%%kql --clod public\nHeartbeat": "the line of %kql cannot be read: ",
    "%%kql Heartbeat | take 3\n| count": "the line of %kql cannot be read: unrecognized arguments: | take 3; the query goes below",
    "%%kql --cloud public\nHeartbeat": "--cloud says how to connect, but not to what; give the workspace with -w",
    "%%kql -w demo --cloud public\nHeartbeat": "workspace 'demo' is on this machine; cloud, endpoint, credential,",
    "%%kql -w 'demo\nHeartbeat": "the line of %kql cannot be read: No closing quotation",
    "%%kql -w /subscriptions/0/workspaces/Ops\nHeartbeat": "workspace '/subscriptions/0/workspaces/Ops' is not the id",
    "%kql answer": "%kql answer holds no query; write it in a cell, below the line %%kql answer",
    "%%kql my-answer\nHeartbeat": "the result cannot be bound to 'my-answer', which is no Python name",
    "%kql -l heartbeat_dayz": "no packaged query is called 'heartbeat_dayz'; the nearest are",
}


@pytest.mark.parametrize(("cell", "sentence"), BAD.items())
def test_a_wrong_line_is_answered_with_one_sentence(shell, cell, sentence):
    _, printed, error = run(shell, cell)
    assert isinstance(error, AmakitError)
    assert str(error).startswith(sentence)
    assert printed == f"{type(error).__name__}: {error}\n"


def test_an_open_workspace_is_offered_where_none_is_connected(shell, logs):
    with amakit.connect(logs) as shell.user_ns["ops"]:
        assert str(run(shell, "%%kql\nHeartbeat")[2]).endswith("for example %kql -w ops")


ENGINE = {
    "\n\n": ("the cell holds no query; write KQL below the line of %%kql", ""),
    "// nothing\n": ("the cell holds no query; write KQL below the line of %%kql", ""),
    "\n  \nHeartbeat | tke 3": (
        "the query cannot be parsed: could not parse KQL at line 4, column 11: ",
        "   4 Heartbeat | tke 3\n               ^",
    ),
    "Heartbeat\n| project Computer,\n| take 3": (
        "the query cannot be parsed: could not parse KQL at line 4, column 1: extraneous input '|'; mend it there or just "
        "before", "   4 | take 3\n     ^"),
    "Heartbeat | where Computer == {who} tke 3": (
        "the query cannot be parsed: could not parse KQL at line 2, column 37: ",
        "   2 Heartbeat | where Computer == {who} tke 3\n" + " " * 41 + "^"),
    "Heartbeat\n\t| where Computr == 'Computr'": (
        "there is no column 'Computr' where the query names it; the nearest", "   3  | where Computr == 'Computr'\n"
        "              ^"),
    "// Hartbeat\nHartbeat | take 1": ("there is no table 'Hartbeat'; the nearest is 'Heartbeat'",
                                       "   3 Hartbeat | take 1\n     ^"),
    "Heartbeat | evaluate bag()": ("there is no plugin 'bag'; there are", "   2 Heartbeat | evaluate bag()\n" + " " * 26 + "^"),
    "Heartbeat | evaluate autocluster()": ("valid KQL that the embedded engine does not have: evaluate autocluster()",
                                           "   2 Heartbeat | evaluate autocluster()\n" + " " * 26 + "^"),
    "Heartbeat | extend a = prev(Computer)": (
        "prev() needs rows in an order; put '| sort by …' or '| serialize' before it",
        "   2 Heartbeat | extend a = prev(Computer)\n" + " " * 28 + "^"),
    "Heartbeat\n| make-series n = count() on TimeGenerated": (
        "make-series needs a step", "   3 | make-series n = count() on TimeGenerated\n       ^"),
}  # fmt: skip


@pytest.mark.parametrize(("cell", "told"), ENGINE.items())
def test_an_error_points_at_its_place_in_the_cell(shell, logs, cell, told):
    run(shell, f"%kql -w '{logs}'")
    shell.user_ns["who"] = "a much longer value\nthan its name"
    _, printed, error = run(shell, f"%%kql\n{cell}")
    sentence, place = told
    assert str(error).startswith(sentence)
    assert error.place == (place if place is not None else error.place)
    assert printed == f"{type(error).__name__}: {error}\n" + (f"{error.place}\n" if error.place else "")
    assert place == "" or error.place.endswith("^")


class Refused:
    """An engine that answers like a service."""

    at_once, log_analytics = 1, True

    def __init__(self, sentence):
        self.sentence, self.asked = sentence, 0

    def tables(self):
        self.asked += 1
        return ["Heartbeat"]

    def known(self):
        return {"Heartbeat": {"Computer": "string"}} if self.asked else {}

    def run(self, kql):
        raise AmakitError(self.sentence)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("said", "told", "place"),
    [
        ("Syntax error: Query could not be parsed at 'tke' on line [2,2]", "parsed at 'tke' at line 3, column 3",
         "   3 | tke 3\n       ^"),
        ("Failed to parse datetime literal: 'datetime(x)' [line:position=1:0]", "'datetime(x)' at line 2, column 1",
         "   2 Heartbeat\n     ^"),
        ("SEM0100 'where' operator: Failed to resolve column or scalar expression named 'tke'", "named 'tke'",
         "   3 | tke 3\n       ^"),
        ("did not accept the sign-in; sign in again, for example with 'az login'", "sign in again", ""),
    ],
)  # fmt: skip
def test_what_the_service_says_is_pointed_at_as_well(shell, said, told, place):
    engine = Refused(said)
    shell.user_ns["ops"] = amakit.Workspace("ops", "kusto", engine)
    assert run(shell, "%kql -w ops")[2] is None
    _, printed, error = run(shell, "%%kql\nHeartbeat\n| tke 3")
    assert told in str(error)
    assert error.place == place
    assert len(printed.splitlines()) == 1 + 2 * bool(place)


def test_over_a_real_connection(shell, kusto_server, tmp_path):
    with duckdb.connect(str(tmp_path / "logs.duckdb")) as file:
        file.execute("CREATE TABLE Heartbeat AS SELECT TIMESTAMP '2026-03-01' AS TimeGenerated, 'web-1' AS Computer")
    with kusto_server(tmp_path / "logs.duckdb") as address:
        shown = run(shell, f"%kql -w {address}")[0]
        assert repr(shown).splitlines()[1:] == ["kind: kusto", "Tables", "  table", "  Heartbeat"]
        shell.user_ns["who"] = "web-1"
        assert len(run(shell, "%%kql\nHeartbeat | where Computer == {who}")[0]) == 1
        _, _, error = run(shell, "%%kql\nHeartbeat\n| where Computer == {who} tke 3")
        assert "did not answer the query: could not parse KQL at line 3, column 27: mismatched input 'tke'" in str(
            error
        )
        assert error.place == "   3 | where Computer == {who} tke 3\n" + " " * 31 + "^"
        assert run(shell, "%%kql\nHeartbeat | where Cmp == 1")[2].place == (
            "   2 Heartbeat | where Cmp == 1\n                       ^"
        )
        assert run(shell, "%%kql\nHeartbea | take 1")[2].place == "   2 Heartbea | take 1\n     ^"
        shell.run_line_magic("kql", "-w demo")


def test_a_failed_sign_in_leaves_the_connection_as_it_was(shell, logs, monkeypatch):
    def expired(*_):
        raise AmakitError(
            "signing in to /subscriptions/… failed: the token has expired; sign in, for example with 'az login'"
        )

    run(shell, f"%kql -w '{logs}'")
    monkeypatch.setattr(kusto.KustoEngine, "tables", expired)
    _, printed, error = run(shell, "%kql -w http://127.0.0.1:9/logs")
    assert printed == f"AmakitError: {error}\n"
    assert len(run(shell, "%%kql\nHeartbeat")[0]) == 2


# -- completion ------------------------------------------------------------------------------------------------


def completed(shell, text):
    """Give what is offered at the ¦ in a cell."""
    at = text.index("¦")
    with provisionalcompleter():
        return {each.text for each in shell.Completer.completions(text.replace("¦", ""), at)}


def test_completion_offers_tables_columns_values_and_queries(shell, logs):
    run(shell, f"%kql -w '{logs}'")
    shell.user_ns["computer_name"] = "x"
    assert completed(shell, "%%kql\nHeartb¦") == {"Heartbeat"}
    assert {"Computer", "ComputerIP"} <= completed(shell, "%%kql\nHeartbeat\n| where Comp¦ == 1")
    assert "Computer" not in completed(shell, "%%kql\n// nothing\nComp¦")
    assert "computer_name" in completed(shell, "%%kql\nHeartbeat | where Computer == {comp¦}")
    assert completed(shell, "%kql -l heartbeat_da¦") == {"heartbeat_days"}
    assert "Heartbeat" not in completed(shell, "Heartb¦")


@pytest.mark.parametrize("cell", ["%%kql\n¦", "%%kql¦", "%%kql\n\\¦", "%%kql\n{¦", "%%kql\n'(¦", "\n\n%%kql\nH¦", "¦"])
def test_completion_asks_a_service_nothing_and_never_fails(shell, cell):
    engine = Refused("no")
    shell.user_ns["ops"] = amakit.Workspace("ops", "kusto", engine)
    run(shell, "%kql -w ops")
    asked = engine.asked
    completed(shell, cell)
    shell.user_ns["ops"]._engine = None
    completed(shell, cell)
    assert engine.asked == asked == 1


def test_unloading_takes_magic_and_completion_away(shell):
    shell.run_line_magic("unload_ext", "amakit")
    assert shell.find_cell_magic("kql") is None
    assert not shell.Completer.custom_matchers
    shell.run_line_magic("load_ext", "amakit")
    assert shell.find_cell_magic("kql") is not None


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "kql_magic.md"


def test_the_page_about_the_magic_is_true(shell):
    text = PAGE.read_text(encoding="utf-8")
    for cell in re.findall(r"^```ipython\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        result, _, error = run(shell, cell)
        assert error is None, cell
        assert result is None or len(repr(result)) > 40
    (shown,) = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert run(shell, "%%kql\nHeartbeat\n| where Computr == 'web-28'")[1] == shown


def test_names_complete_without_clutter(shell):
    run(shell, "import amakit")
    assert {name.removeprefix("amakit.").lstrip(".") for name in completed(shell, "amakit.¦")} == set(amakit.__all__)
    assert dir(amakit) == amakit.__all__


# -- objects that show themselves ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """Two machines that were stopped, two that were upgraded, on one of which a stream stayed away."""
    machines = ["web-28", "batch-12", "batch-22", "sql-18"]
    return amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-11", machines)


def test_an_analysis_shows_its_counts_and_the_worst_outages(found):
    lines = repr(found).splitlines()
    assert lines[0] == "Analysis of demo, 2026-03-09 00:00:00 to 2026-03-11 00:00:00 UTC (synthetic data)"
    assert lines[1].startswith(f"{len(found.machines)} machines: ")
    assert lines[2].startswith(f"{len(found.transitions)} changes of version: ")
    assert lines[3].startswith("4 outages by cause: ")
    assert {"machine stopped 2", "upgrade 2"} == set(lines[3].partition(": ")[2].split(", "))
    longest = found.outages.sort_values("downtime_s", ascending=False).head(3)
    assert [line.split()[0] for line in lines[-3:]] == list(longest["computer"])


def test_a_stream_that_stayed_away_does_not_add_to_what_was_lost(found):
    away = found.gaps["ongoing"].astype("bool")
    assert away.sum() == 1
    assert not found.outages["ongoing"].any()
    lost = found.gaps.loc[~away, "lost"].sum()
    assert repr(found).splitlines()[4].startswith(f"{lost:,} samples lost (")
    assert repr(found).splitlines()[4].endswith("; 1 stream has not resumed")


def test_an_outage_that_goes_on_comes_first_and_has_no_end(found):
    short = found.outages["downtime_s"].idxmin()
    outages = found.outages.copy()
    outages.loc[short, ["ongoing", "downtime_s", "end_latest"]] = [True, None, None]
    first, second, _ = of_analysis(replace(found, outages=outages)).table.to_dict("records")
    assert (first["machine"], first["ended before"]) == (outages.loc[short, "computer"], "goes on")
    assert first["nothing came for"] == "–"
    assert second["machine"] == found.outages.loc[found.outages["downtime_s"].idxmax(), "computer"]


def test_an_analysis_of_nothing_shows_itself(found):
    run = {"workspace": "logs", "synthetic": False, "unknown": [{}], "missing_tables": ["Perf"]}
    empty = replace(found, **{name: getattr(found, name).iloc[:0] for name in amakit.analysis.TABLES}, run=run)
    assert repr(empty).splitlines()[1:] == [
        "no machine",
        "no change of version",
        "no outage",
        "no sample lost",
        "unknown stretches, as not recorded or not answered: 1; see run",
        "tables that are not there: Perf",
    ]
    assert "<table" not in empty._repr_html_()


def test_hostile_names_stay_text(found):
    evil = "<script>alert(1)</script>\u202e\n"
    outages = found.outages.assign(computer=evil, from_version=evil, cause="<b>")
    shown = replace(found, outages=outages, run={**found.run, "workspace": "<i>"})
    assert not re.search(r"<(script|b|i)>", shown._repr_html_())
    assert "&lt;script&gt;" in shown._repr_html_()
    assert not {"\u202e", "\r"} & set(repr(shown))


def test_a_workspace_shows_tables_rows_and_times(logs):
    with amakit.connect(logs) as workspace:
        assert re.search(r"Heartbeat +34$", repr(workspace), re.MULTILINE)  # rows of text are not counted for this
        assert workspace.query("Heartbeat | count")["Count"][0] == 2
        assert repr(workspace).splitlines()[-1].split() == [
            "Heartbeat",
            "34",
            "2",
            "2026-03-01",
            "00:00:00",
            "2026-03-01",
            "00:01:00",
        ]
        assert str(logs.parent) not in repr(workspace)
    assert "Heartbeat" in repr(workspace)  # closed


def test_a_service_is_asked_nothing_for_showing_it():
    engine = Refused("no")
    workspace = amakit.Workspace("https://me:secret@host/Db", "kusto", engine)
    assert repr(workspace) == "Workspace https://host/Db\nkind: kusto\nits tables have not been asked for yet"
    assert engine.asked == 0
    workspace.tables  # noqa: B018 - asks
    assert repr(workspace).splitlines()[-1].startswith("1 table; ")
    assert "secret" not in workspace._repr_html_()


def test_help_tells_every_column_of_every_result(found):
    for table, types in RESULTS.items():
        assert list(meanings(table)) == list(types) == list(getattr(found, table).columns)
        for column, meaning in meanings(table).items():
            assert f"    {column} : {types[column]}\n        {meaning}" in amakit.Analysis.__doc__


# -- in a real kernel --------------------------------------------------------------------------------------------


def test_in_a_kernel_a_failure_is_one_sentence_and_the_traceback_can_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(amakit.__file__).parent.parent))
    cells = [
        "%load_ext amakit\nimport amakit\nws = amakit.connect('demo')",
        "ws.query('Hartbeat')",
        "amakit.analyze(ws, '2026-03-10', '2026-03-09')",
        "%%kql\nHeartbeat",
        "%kql -w ws",
        "minute = 3\nwho = ['x\" or \"y', 'web-01']",
        "%%kql few\nHeartbeat | where Computer !in ({who})\n| take {minute}",
        "len(few)",
        "import sys\n(sys.last_value.args[0][:12], sys.last_value.__traceback__ is not None)",
        "%xmode Verbose\nws.query('Hartbeat')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=600, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in book.cells]
    told = [["\n".join(out.traceback) for out in cell if out.output_type == "error"] for cell in outputs]
    assert told[1] == ["AmakitError: there is no table 'Hartbeat'; the nearest is 'Heartbeat'"]
    assert told[2][0].startswith("UsageError: ")
    assert "\n" not in told[2][0]
    assert told[3][0].endswith("for example %kql -w ws")
    assert outputs[4][0].data["text/html"].startswith("<div><p><strong>Workspace demo</strong> <em>synthetic data</em>")
    assert outputs[6][0].text == "few: 3 rows, 34 columns, synthetic data\n"
    assert outputs[7][0].data["text/plain"] == "3"
    assert outputs[8][0].data["text/plain"] == "('no workspace', True)"
    assert "files.py" in told[9][0]
