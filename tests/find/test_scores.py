"""The scorer itself: a perfect answer scores 1, a damaged one less; and the simulator holds what it promises."""

from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest
import scores
from simulator import START, fleet, simulate

from amakit.schemas import RESULTS, result

SECOND = pd.Timedelta(seconds=1)


def perfect(truth):
    """Give the analysis that somebody would write who knows the truth, with brackets of two seconds."""
    true = truth.outages
    outages = true.assign(
        start_earliest=true["start"] - SECOND,
        start_latest=true["start"] + SECOND,
        end_earliest=true["end"] - SECOND,
        end_latest=true["end"] + SECOND,
        evidence="known",
    )
    length = (true["end"] - true["start"]).dt.total_seconds()
    outages = outages.assign(downtime_s=length, downtime_low_s=(length - 2).clip(lower=0), downtime_high_s=length + 2)
    losses = truth.losses.assign(
        outage_start=truth.losses["outage_start"] - SECOND,
        lost_low=truth.losses["lost"],
        lost_high=truth.losses["lost"],
        cause="",
        last_before=pd.NaT,
        first_after=pd.NaT,
    )
    by_start = {(o.resource_id, o.computer, o.start): o for o in true.itertuples()}
    events = []
    for row in truth.events.itertuples():
        _, fine = scores._verdicts(by_start[row.resource_id, row.computer, row.outage_start], row)
        came = row.arrived > 0 and row.lost == 0 and "recovered" in fine
        events.append("recovered" if came else next(iter(sorted(set(fine) - {"(no row)"})), "undetermined"))
    events = truth.events.assign(
        outage_start=truth.events["outage_start"] - SECOND,
        verdict=events,
        expected=0.0,
        rows_inside=truth.events["arrived"],
        max_delay_s=0.0,
        cause="",
    )
    events = events.assign(source="").reindex(columns=list(RESULTS["events"]))
    machines = truth.machines.reindex(columns=list(RESULTS["machines"]))
    frames = {
        "outages": outages,
        "transitions": truth.transitions,
        "gaps": losses,
        "events": events,
        "machines": machines,
    }
    return SimpleNamespace(**{name: result(name, frame) for name, frame in frames.items()})


@pytest.fixture(scope="module")
def truth():
    return simulate(None, seed=3)


def test_a_perfect_answer_scores_one(truth):
    score = scores.score(perfect(truth), truth)
    assert {name: figure.worst for name, figure in score.figures.items() if figure.worst} == {}
    assert all(figure.total for name, figure in score.figures.items() if name != "found, no beat lost")


def test_a_perfect_answer_to_the_demo_scores_one(tmp_path):
    from amakit import demo

    demo.write(tmp_path / "demo", machines=24, days=3, seed=5)
    true = scores.truth_of_demo(tmp_path / "demo")
    score = scores.score(perfect(true), true)
    assert {name: figure.worst for name, figure in score.figures.items() if figure.worst} == {}


def _drop(name, n=0):
    return lambda a: setattr(a, name, getattr(a, name).drop(index=n).reset_index(drop=True))


def _change(name, **columns):
    def apply(a):
        frame = getattr(a, name)
        setattr(a, name, frame.assign(**{c: change(frame[c]) for c, change in columns.items()}))

    return apply


def _invented(a):
    row = a.outages.iloc[[0]].assign(cause="upgrade", ongoing=False)
    for n, column in enumerate(("start_earliest", "start_latest", "end_earliest", "end_latest")):
        row[column] = START + n * SECOND
    a.outages = pd.concat([a.outages, row], ignore_index=True)


@pytest.mark.parametrize(
    ("damage", "figures"),
    [
        (_drop("outages"), ["outages found", "losses inside"]),
        (_invented, ["outages that are true", "upgrades that are true"]),
        (_change("outages", cause=lambda c: c.replace("rolled_back", "upgrade")), ["cause right", "upgrades that are true"]),
        (_change("outages", to_version=lambda c: "9." + c), ["versions right"]),
        (_change("outages", start_latest=lambda c: c - 1.5 * SECOND), ["true starts inside"]),
        (_change("outages", end_earliest=lambda c: c + 1.5 * SECOND), ["true ends inside"]),
        (_change("outages", downtime_low_s=lambda c: c + 3), ["downtime inside", "frames sane"]),
        (_change("outages", ongoing=lambda c: ~c), ["ongoing right"]),
        (_drop("transitions"), ["transitions found"]),
        (_change("transitions", cause=lambda c: ""), ["transition causes"]),
        (_change("transitions", last_old=lambda c: c - SECOND), ["transitions found", "transitions that are true"]),
        (_change("gaps", lost=lambda c: c + 1, lost_high=lambda c: c + 1), ["losses exact", "losses exact, some lost"]),
        (_change("gaps", lost=lambda c: c + 1), ["frames sane"]),
        (_change("gaps", lost=lambda c: c + 1, lost_low=lambda c: c + 1, lost_high=lambda c: c + 1), ["losses inside"]),
        (_change("gaps", stream=lambda c: "Other " + c), ["gap rows that are true", "losses inside"]),
        (_change("gaps", ongoing=lambda c: False), ["partial agents found"]),
        (_change("gaps", ongoing=lambda c: True), ["partial agents true"]),
        (_change("events", verdict=lambda c: c.replace("possible_loss", "recovered")), ["event verdicts", "event losses found"]),
        (_change("events", verdict=lambda c: "undetermined"), ["event verdicts", "event losses found", "event recoveries found"]),
        (_change("events", verdict=lambda c: c.replace("recovered", "possible_loss")), ["event verdicts", "event losses true"]),
        (_drop("machines"), ["machines listed"]),
    ],
)  # fmt: skip
def test_damage_shows(truth, damage, figures):
    found = perfect(truth)
    damage(found)
    score = scores.score(found, truth)
    assert all(score[name] < 1 for name in figures)
    assert all(score.figures[name].worst for name in figures)


def test_the_table_names_what_went_wrong(truth):
    found = perfect(truth)
    _drop("outages")(found)
    text = scores.table({"3": scores.score(found, truth)})
    assert "outages found" in text
    assert perfect(truth).outages["computer"][0] in text


def test_one_found_outage_answers_for_one_true_one_only(truth):
    twice = truth.outages.groupby("computer").filter(lambda rows: len(rows) > 1)
    merged = perfect(truth).outages
    merged = merged[merged["computer"].isin(twice["computer"])].groupby(["resource_id", "computer"], as_index=False)
    merged = merged.agg({"start_earliest": "min", "start_latest": "max", "end_earliest": "min", "end_latest": "max"})
    assert len(scores.match(merged, twice)) == len(merged) < len(twice)


def test_a_fleet_can_be_repeated(tmp_path):
    for name in ("a", "b"):
        simulate(tmp_path / name, seed=9, machines=5, days=2)
    for file in sorted((tmp_path / "a").glob("*.parquet")):
        one, two = (duckdb.read_parquet(str(tmp_path / n / file.name)).fetchall() for n in ("a", "b"))
        assert one == two


def test_every_cause_comes_up():
    causes = {cause for seed in range(4) for cause in simulate(None, seed).outages["cause"]}
    assert causes == {
        "upgrade",
        "downgrade",
        "rolled_back",
        "rollback_failed",
        "machine_stopped",
        "machine_restarted",
        "disconnected",
        "unexplained",
    }


def test_without_evidence_nothing_is_claimed():
    causes = set(simulate(None, 1, activity=False, perf=False, events=False).outages["cause"])
    assert causes <= {"upgrade", "downgrade", "rolled_back", "disconnected", "unexplained"}


def _samples(folder, machine):
    """Read back the sample times of every periodic stream of a machine, in seconds."""
    found = {}
    for stream in machine.streams:
        if stream.table not in ("Heartbeat", "Perf", "InsightsMetrics"):
            continue
        where = {
            "Heartbeat": "Category = 'Azure Monitor Agent'",
            "Perf": "(ObjectName, CounterName, InstanceName) = (?, ?, ?)",
            "InsightsMetrics": "(Namespace, Name) = (?, ?)",
        }[stream.table]
        values = list(stream.key[: where.count("?")])
        rows = duckdb.execute(
            f"SELECT DISTINCT TimeGenerated FROM '{folder}/{stream.table}.parquet' "
            f"WHERE lower(Computer) = ? AND lower(_ResourceId) = ? AND {where}",
            [*machine.known_as.values()][::-1] + values,
        ).fetchall()
        times = sorted((pd.Timestamp(t, tz="UTC") - START).total_seconds() for (t,) in rows)
        found[f"{stream.table} {stream.key}"] = times, stream.interval
    return found


@pytest.mark.parametrize("phase", ["kept", "at_once", "anywhere"])
def test_the_definition_holds_the_truth(tmp_path, phase):
    """Bracket by plain loops over the rows as written: true ends and true losses must lie inside."""
    options = {"phase": phase, "jitter": 0.0, "creep": 0.0, "twists": False}
    truth = simulate(tmp_path, 21, **options)
    machines = {tuple(m.known_as.values()): m for m in fleet(21, 25, 5, **options)}
    losses = truth.losses.groupby(["resource_id", "computer", "outage_start"])
    seen, rows = 0, {}
    for o in truth.outages[~truth.outages["ongoing"]].itertuples():
        start, end = ((t - START).total_seconds() for t in (o.start, o.end))
        machine = machines[o.resource_id, o.computer]
        if o.cause == "disconnected" or end - start < 70:
            continue  # no silence, or one that is no longer than what is usual
        if machine.name not in rows:
            rows[machine.name] = _samples(tmp_path, machine)
        near = {
            name: ([t for t in times if start - 11000 < t < end + 11000], interval)
            for name, (times, interval) in rows[machine.name].items()
        }
        found = scores.oracle(near, start - 130, end + 130)
        assert found["start_earliest"] <= start + 1e-5
        assert start <= found["start_latest"] + 1e-5
        assert found["end_earliest"] <= end + 1e-5
        assert end <= found["end_latest"] + 1e-5
        for row in losses.get_group((o.resource_id, o.computer, o.start)).itertuples():
            low, high = found["lost"].get(f"{row.data_type} {_key(machine, row)}", (0, np.inf))
            if not row.ongoing and row.interval_s <= 300:
                assert low <= row.lost <= high
                seen += 1
    assert seen > 30


def _key(machine, row):
    return next(s.key for s in machine.streams if (s.table, " \\ ".join(s.key)) == (row.data_type, row.stream))


def test_the_oracle_by_hand():
    # by b's interval it had begun before 103; b's first sample says that it was over at 158
    streams = {"a": ([40.0, 100.0, 160.0, 220.0], 60.0), "b": ([43.0, 158.0], 60.0)}
    found = scores.oracle(streams, 90.0, 170.0)
    assert [found[e] for e in scores._EDGES] == [100.0, 103.0, 100.0, 158.0]
    assert found["lost"] == {"a": (0, 0), "b": (0, 1)}
