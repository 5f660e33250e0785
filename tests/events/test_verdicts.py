"""The event-driven check: by hand, by simulation, by property, and on demo fleets whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from fleet import at, write
from hypothesis import given
from hypothesis import strategies as st

from amakit import connect, demo
from amakit.events import counts as event_counts
from amakit.events import tables as events
from amakit.events import verdicts as sources
from amakit.events.continuity import continuity
from amakit.intervals import Window, window
from amakit.kql.catalog import render
from amakit.recorded.horizon import horizon
from amakit.schemas import RESULTS

DAYS = window("2026-03-02", "2026-03-05")
NOON, BACK = at("2026-03-03T12:00:00"), at("2026-03-03T12:10:00")
MACHINES = pd.DataFrame({"resource_id": ["/vm/a"], "computer": ["a"]})


def seconds(number):
    return pd.Timedelta(number, "s")


def times_every(interval, start=DAYS.start, end=DAYS.end):
    """One row every so many seconds, half an interval off the full minute."""
    return pd.date_range(start + seconds(interval / 2), end, freq=f"{interval}s", inclusive="left").as_unit("us")


def rows(times, computer="a", resource="/VM/A", received=None, **columns):
    """Rows of one machine, read five seconds after they were written unless said otherwise."""
    times = pd.DatetimeIndex(times)
    received = times + seconds(5) if received is None else received
    frame = pd.DataFrame({"TimeGenerated": times, "_TimeReceived": pd.DatetimeIndex(received).tz_localize(None)})
    return frame.assign(Computer=computer, _ResourceId=resource, **columns)


def away(start=NOON, end=BACK, cause="upgrade", computer="a", resource="/vm/a", bracket=0, ongoing=False):
    """One outage in the form of the result table, its ends known to so many seconds."""
    end = pd.NaT if ongoing else end
    known = {
        "start_earliest": start - seconds(bracket),
        "start_latest": start + seconds(bracket),
        "end_earliest": end - seconds(bracket),
        "end_latest": end + seconds(bracket),
    }
    fields = {"resource_id": resource, "computer": computer, "cause": cause, "ongoing": ongoing}
    frame = pd.DataFrame([dict.fromkeys(RESULTS["outages"], "") | known | fields])
    return frame.assign(**{c: pd.to_datetime(frame[c], utc=True).astype("datetime64[us, UTC]") for c in known})


def check(folder, outages, span=DAYS, machines=MACHINES, **tables):
    """Write the tables and give the evidence."""
    with connect(write(folder, **tables)) as workspace:
        return events.evidence(workspace, outages, span, machines)[0]


def held(times, start=NOON, end=BACK):
    """Received as from an agent that was away and read everything ten seconds after it was back."""
    return (times + seconds(5)).where((times < start) | (times >= end), end + seconds(10))


def lost(times, start=NOON, end=BACK):
    return times[(times < start) | (times >= end)]


# -- one table, one outage, by hand ---------------------------------------------------------------------------------


def test_rows_that_were_read_afterwards_are_recovered(tmp_path):
    times = times_every(30)
    found = check(tmp_path, away(), Syslog=rows(times, received=held(times))).iloc[0]
    assert (found["verdict"], found["rows_inside"], found["expected"]) == ("recovered", 20, 20.0)
    assert found["max_delay_s"] == 600 - 15 + 10
    assert found["bins"] == 24 * 6  # the nearest day of whole hours without an outage
    assert found["inside_probability"] > 0.5


def test_rows_that_should_be_there_and_are_not_are_a_possible_loss(tmp_path):
    found = check(tmp_path, away(), Syslog=rows(lost(times_every(30)))).iloc[0]
    assert (found["verdict"], found["rows_inside"], found["expected"]) == ("possible_loss", 0, 20.0)
    assert np.isnan(found["max_delay_s"])
    # Poisson: e^-20, and a little more for what 144 bins leave uncertain
    assert np.exp(-20) < found["inside_probability"] < 5 * np.exp(-20)
    assert (found["silent_from"], found["silent_to"]) == (NOON - seconds(15), BACK + seconds(15))


def test_a_part_that_is_missing_is_a_partial_loss(tmp_path):
    times = times_every(10)
    found = check(tmp_path, away(), Syslog=rows(lost(times, end=NOON + seconds(420)))).iloc[0]
    assert (found["verdict"], found["rows_inside"], found["expected"]) == ("partial_loss", 18, 60.0)


def test_where_little_is_written_nothing_was_to_be_expected(tmp_path):
    found = check(tmp_path, away(), Syslog=rows(lost(times_every(3600)))).iloc[0]
    assert (found["verdict"], found["rows_inside"]) == ("none_expected", 0)
    assert found["expected"] == pytest.approx(10 / 60, rel=0.1)


def test_between_the_two_it_cannot_be_told(tmp_path):
    found = check(tmp_path, away(), Syslog=rows(lost(times_every(120)))).iloc[0]  # five expected: e^-5 is 0.7 %
    assert (found["verdict"], found["expected"]) == ("undetermined", 5.0)


def test_a_stopped_machine_writes_nothing_and_nobody_knows_how_much_it_wrote_before(tmp_path):
    silent = rows(lost(times_every(30)))
    last_words = rows([NOON + seconds(2)], received=[BACK + seconds(9)])
    stopped = away(cause="machine_stopped")
    found = check(tmp_path / "1", stopped, Event=silent).iloc[0]
    assert found["verdict"] == "none_expected"
    assert np.isnan(found["expected"])
    found = check(tmp_path / "2", stopped, Event=pd.concat([silent, last_words])).iloc[0]
    assert (found["verdict"], found["rows_inside"], found["max_delay_s"]) == ("undetermined", 1, 607.0)


def test_an_outage_that_goes_on_is_undetermined(tmp_path):
    found = check(tmp_path, away(ongoing=True), Syslog=rows(times_every(30, end=NOON))).iloc[0]
    assert found["verdict"] == "undetermined"
    assert found["expected"] == pytest.approx(36 * 120, rel=0.01)


def test_a_source_that_does_not_come_back_has_stopped(tmp_path):
    """Another machine shows that the table itself goes on."""
    fleet = pd.concat([rows(times_every(30, end=NOON)), rows(times_every(600), "b", "/vm/b")])
    found = check(tmp_path, away(), Syslog=fleet).iloc[0]
    assert (found["verdict"], found["expected"]) == ("stopped", pytest.approx(36 * 120, rel=0.01))
    assert found["silent_from"] == NOON - seconds(15)
    assert pd.isna(found["silent_to"])


def test_a_table_whose_export_ends_before_the_outage_proves_nothing(tmp_path):
    found = check(tmp_path, away(), Syslog=rows(times_every(30, end=NOON - seconds(3600)))).iloc[0]
    assert (found["verdict"], found["covered"]) == ("undetermined", False)


def test_a_lone_source_that_ends_with_the_outage_was_not_ended_by_the_export(tmp_path):
    found = check(tmp_path, away(), Syslog=rows(times_every(30, end=NOON))).iloc[0]
    assert found["verdict"] == "stopped"


def test_a_table_that_is_stamped_at_arrival_proves_nothing(tmp_path):
    times = times_every(30)
    stamped = times.where((times < NOON) | (times >= BACK), BACK + seconds(10))
    found = check(tmp_path / "1", away(), App_CL=rows(stamped, received=stamped)).iloc[0]
    assert (found["verdict"], found["stamped"]) == ("undetermined", True)
    # without the time of arrival the burst afterwards tells
    found = check(tmp_path / "2", away(), App_CL=rows(stamped).drop(columns="_TimeReceived")).iloc[0]
    assert (found["verdict"], found["stamped"], found["replayed"]) == ("undetermined", False, True)
    assert np.isnan(found["max_delay_s"])


def test_a_custom_log_with_times_of_its_own_can_be_lost(tmp_path):
    found = check(tmp_path, away(), App_CL=rows(lost(times_every(30))).drop(columns="Computer")).iloc[0]
    assert (found["verdict"], found["data_type"]) == ("possible_loss", "App_CL")


def test_too_little_around_is_undetermined(tmp_path):
    span = Window(NOON - seconds(900), BACK + seconds(960))
    found = check(tmp_path, away(), span, Syslog=rows(lost(times_every(30)))).iloc[0]
    assert (found["verdict"], found["bins"]) == ("undetermined", 0)


def test_a_log_that_is_often_silent_is_judged_by_its_hours(tmp_path):
    """Twelve minutes of rows, twelve of none: ten minutes without any are nothing special, an hour with so few is."""
    times = times_every(10)
    busy = times[(times - DAYS.start) % pd.Timedelta(minutes=24) < pd.Timedelta(minutes=12)]
    quiet = check(tmp_path / "0", away(NOON + seconds(720), BACK + seconds(720)), Syslog=rows(busy)).iloc[0]
    assert (quiet["verdict"], quiet["rows_inside"]) == ("undetermined", 0)
    assert quiet["expected"] > 25
    assert check(tmp_path / "1", away(), Syslog=rows(lost(busy))).iloc[0]["verdict"] == "possible_loss"


def test_rows_that_are_read_twice_count_once(tmp_path):
    """Half of the rows are lost, the other half is read twice after the restart."""
    times = times_every(10)
    inside = times[(times >= NOON) & (times < BACK)]
    half = rows(inside[::2], received=[BACK + seconds(10)] * 30)
    table = pd.concat([rows(lost(times)), half, half]).assign(SyslogMessage="a line")
    found = check(tmp_path, away(), Syslog=table).iloc[0]
    assert (found["verdict"], found["rows_inside"]) == ("partial_loss", 30)


def test_one_of_two_facilities_that_dies_is_seen(tmp_path):
    both = [rows(times_every(30, end=NOON), Facility="auth"), rows(times_every(20), Facility="daemon")]
    found = check(tmp_path, away(), Syslog=pd.concat(both)).set_index("source")
    assert found["verdict"].to_dict() == {"auth": "stopped", "daemon": "recovered"}


def test_what_quiet_facilities_lost_together_is_a_loss(tmp_path):
    names = [f"local{n}" for n in range(6)]
    quiet = pd.concat([rows(lost(times_every(240)), Facility=name) for name in names])
    found = check(tmp_path, away(), Syslog=quiet)
    assert found["expected"].tolist() == pytest.approx([2.5] * 6, rel=0.01)
    assert set(found["verdict"]) == {"possible_loss"}


def test_rows_without_a_computer_under_an_id_of_several_cannot_be_told_apart(tmp_path):
    machines = pd.DataFrame({"resource_id": ["/set", "/set"], "computer": ["s1", "s2"]})
    outage = away(computer="s1", resource="/set")
    found = check(tmp_path, outage, machines=machines, App_CL=rows(times_every(10), "", "/set")).iloc[0]
    assert (found["verdict"], pd.isna(found["rows_inside"])) == ("undetermined", True)


def test_only_the_time_that_was_certainly_in_the_outage_counts(tmp_path):
    times = times_every(30)
    kept = pd.concat([rows(lost(times)), rows([NOON - seconds(20), BACK + seconds(20)])])
    found = check(tmp_path, away(bracket=60), Syslog=kept).iloc[0]
    assert (found["rows_inside"], found["verdict"]) == (0, "possible_loss")
    assert found["expected"] == pytest.approx(16, abs=0.1)
    assert found["outage_start"] == NOON - seconds(60)


def test_brackets_that_cross_leave_the_time_between_their_midpoints(tmp_path):
    outage = away(end=NOON + seconds(60), bracket=40)
    found = sources.stretches(outage, DAYS.end).iloc[0]
    assert (found["start"], found["end"]) == (NOON, NOON + seconds(60))
    nothing = away(end=NOON, bracket=40)
    found = check(tmp_path, nothing, Syslog=rows(times_every(30))).iloc[0]
    assert (found["verdict"], found["expected"], found["rows_inside"]) == ("none_expected", 0, 0)


def test_other_outages_are_left_out_of_the_neighbourhood(tmp_path):
    outages = pd.concat([away(NOON + seconds(3600 * h), BACK + seconds(3600 * h)) for h in range(-12, 12)])
    times = times_every(30)
    for outage in outages.itertuples():
        times = lost(times, outage.start_latest, outage.end_earliest)
    found = check(tmp_path, outages, Syslog=rows(times))
    assert set(found["expected"]) == {20.0}
    assert set(found["verdict"]) == {"possible_loss"}


# -- record numbers -------------------------------------------------------------------------------------------------


def numbered(keep=1.0, gone=0, interval=300, channel="System"):
    """Rows with record numbers: a part of all that is written, and some that went lost in the outage."""
    times = times_every(interval)
    number = 1000 + np.arange(len(times))
    kept = np.random.default_rng(3).random(len(times)) < keep
    inside = np.flatnonzero((times >= NOON) & (times < BACK))[:gone]
    kept[inside] = False
    return rows(times[kept], Channel=channel, EventRecordId=number[kept].astype(str))


def test_a_single_missing_record_shows_where_none_is_missing_else(tmp_path):
    found = check(tmp_path / "0", away(), WindowsEvent=numbered(interval=60)).iloc[0]
    assert (found["verdict"], found["records_probability"]) == ("recovered", 1.0)
    found = check(tmp_path / "1", away(), WindowsEvent=numbered(gone=2, interval=60)).iloc[0]
    assert (found["verdict"], found["rows_inside"]) == ("partial_loss", 8)
    assert found["inside_probability"] > 0.05
    # too quiet for its rate to tell anything, and still known to have lost both records
    found = check(tmp_path / "2", away(), SecurityEvent=numbered(gone=2)).iloc[0]
    assert (found["verdict"], found["expected"]) == ("possible_loss", pytest.approx(2, rel=0.01))


def test_where_a_filter_makes_holes_they_alone_are_no_loss(tmp_path):
    found = check(tmp_path, away(), WindowsEvent=numbered(keep=0.5, gone=2, interval=60)).iloc[0]
    assert found["verdict"] == "undetermined"


def test_numbers_that_begin_anew_are_no_holes(tmp_path):
    frame = numbered(interval=60)
    after = frame["TimeGenerated"] >= BACK
    for place, shift in enumerate((-5000, 10_000_000)):
        moved = frame.assign(EventRecordId=(frame["EventRecordId"].astype(int) + shift * after).astype(str))
        found = check(tmp_path / str(place), away(), WindowsEvent=moved).iloc[0]
        assert (found["verdict"], np.isnan(found["records_probability"])) == ("undetermined", True)


def test_copies_are_no_records_and_rows_without_a_number_are_passed_over(tmp_path):
    frame = numbered(gone=2, interval=60)
    frame = pd.concat([frame, frame, frame.assign(EventRecordId="")])
    assert check(tmp_path, away(), WindowsEvent=frame).iloc[0]["records_probability"] < sources.ALPHA


def test_continuity_by_hand():
    """One of 100 numbers is missing around, 3 of 3 across: the third of three draws without return, and so on."""
    sides = pd.DataFrame(
        {
            "item": 7,
            "side": [0, 1, 2],
            "Source": "a",
            "Channel": "System",
            "Records": [50, 0, 49],
            "Low": [1, 0, 54],
            "High": [50, 0, 103],
            "Bins": [1, 0, 1],
            "Spans": [50, 0, 50],
            "Evenness": [50, 0, 49**2 / 50],
        }
    )
    found = continuity(sides[sides["side"] != 1]).iloc[0]
    assert (found["item"], found["numbers"], found["found"]) == (7, 3, 0)
    yes, no = 97.5, 1.5
    by_hand = no * (no + 1) * (no + 2) / ((yes + no) * (yes + no + 1) * (yes + no + 2))
    assert found["probability"] == pytest.approx(by_hand)
    assert found["share"] == pytest.approx(97 / 98)


# -- whose rows are they --------------------------------------------------------------------------------------------


def test_rows_are_told_apart_by_id_by_computer_in_a_scale_set_and_by_name_where_there_is_no_id(tmp_path):
    machines = pd.DataFrame(
        {
            "resource_id": ["/VM/a", "/set", "/set", "/x/twin", "/y/twin", ""],
            "computer": ["A", "s1", "s2", "twin", "twin", "bare"],
        }
    )
    outages = pd.concat([away(computer=c, resource=r) for r, c in machines.to_numpy()], ignore_index=True)
    full, none = times_every(30), lost(times_every(30))
    half = len(full) // 2
    table = pd.concat(
        [
            rows(full[:half], "A.example", "/vm/A"),
            rows(full[half:], "a", ""),  # a, under another name, and without id
            rows(full, "S1", "/SET"),
            rows(none, "s2", "/set"),
            rows(full, "", "/set"),
            rows(none, "twin", "/x/twin"),
            rows(full, "twin", "/y/twin"),
            rows(full, "twin", ""),
            rows(none, "BARE", ""),
        ]
    )
    found = check(tmp_path, outages, machines=machines, Syslog=table)
    said = {(r.resource_id, r.computer): (r.rows_inside, r.verdict) for r in found.itertuples()}
    assert said == {
        ("/vm/a", "a"): (20, "recovered"),
        ("/set", "s1"): (20, "recovered"),
        ("/set", "s2"): (0, "possible_loss"),
        ("/x/twin", "twin"): (0, "possible_loss"),
        ("/y/twin", "twin"): (20, "recovered"),
        ("", "bare"): (0, "possible_loss"),
    }


def test_tables_without_rows_of_the_machine_or_without_a_time_are_passed_over(tmp_path):
    folder = write(tmp_path, Syslog=rows(times_every(30), "b", "/vm/b"), Perf=rows(times_every(60)))
    (folder / "Odd_CL.csv").write_text("Computer,Text\na,b\n", encoding="utf-8")
    with connect(folder) as workspace:
        found, *_ = events.check(workspace, away(), DAYS, MACHINES)
    assert found.empty
    assert list(found.columns) == list(RESULTS["events"])


# -- the verdict rule and its numbers -------------------------------------------------------------------------------

_counts = st.lists(st.integers(0, 40), min_size=13, max_size=60)


#: From the mildest word to the strongest; what is undetermined is between.
WORDS = ["none_expected", "recovered", "undetermined", "partial_loss", "possible_loss", "returned_late", "stopped"]


def judged(x, bins, **more):
    """The verdict on one outage as long as a bin, from the bins around it."""
    bins = np.asarray(bins, dtype="float64")
    mean, spread = sources.rate([bins.sum()], [(bins**2).sum()], [bins.size])
    few = sources.tail([x], mean, spread, (bins <= x).mean())
    found = pd.DataFrame(
        {
            "cause": "upgrade",
            "ongoing": False,
            "apart": False,
            "rows_inside": [x],
            "expected": mean,
            "spread": spread,
            "carried": True,
            "inside_probability": few,
            "hours_probability": 1.0,
            "silence_probability": 1.0,
            "after_probability": 1.0,
            "before_probability": 1.0,
            "returned": True,
            "records_probability": np.nan,
            "records_whole": False,
            "bins": bins.size,
            "replayed": False,
            "stamped": False,
            "covered": True,
            "outage": 0,
            "data_type": "Syslog",
        }
        | more
    )
    return few[0], sources.judge(found)[0]


@given(_counts, st.integers(0, 60), st.integers(0, 60))
def test_more_rows_never_make_a_loss_more_likely(bins, one, other):
    low, high = sorted((one, other))
    assert judged(low, bins)[0] <= judged(high, bins)[0] + 1e-12
    if judged(low, bins)[1] != "none_expected":  # little expected is no loss, however many came
        assert WORDS.index(judged(high, bins)[1]) <= WORDS.index(judged(low, bins)[1])


@given(_counts, st.integers(0, 60), st.randoms())
def test_the_order_of_the_bins_changes_nothing(bins, x, random):
    mixed = random.sample(bins, len(bins))
    assert judged(x, mixed)[1] == judged(x, bins)[1]


@given(st.integers(2, 400), st.integers(0, 40), st.integers(1, 40), st.floats(0, 1))
def test_more_records_found_never_make_a_loss_more_likely(around, numbers, found, share):
    there = max(2, round(around * share))
    side = {"item": 0, "Source": "", "Channel": "", "Bins": 2, "Spans": around, "Records": there}
    side |= {"Evenness": there**2 / around}
    sides = pd.DataFrame(
        [
            side | {"side": 0, "Low": 1, "High": 1000},
            side | {"side": 1, "Low": 1001, "High": 1001, "Records": found - 1},
            side | {"side": 2, "Low": 1001 + numbers, "High": 2000 + numbers},
        ]
    )
    fewer, more = (
        continuity(frame) for frame in (sides, sides.assign(Records=sides["Records"] + (sides["side"] == 1)))
    )
    assert (fewer["probability"].to_numpy() <= more["probability"].to_numpy() + 1e-12).all()


def streams(kind, mean, bins, n, rng):
    """Numbers of rows in bins, and in one more that nothing was taken from."""
    size = (n, bins + 1)
    if kind == "poisson":
        return rng.poisson(mean, size)
    if kind == "day and night":
        phase = np.arange(bins + 1) + rng.integers(0, bins, (n, 1))
        return rng.poisson(mean * (1 + 0.9 * np.sin(phase / bins * 4 * np.pi)))
    if kind == "clumps of twenty":
        clumps = rng.poisson(mean / 20, size)
        return np.where(clumps, rng.negative_binomial(np.maximum(clumps, 1), 0.05) + clumps, 0)
    return rng.negative_binomial(kind, kind / (kind + mean), size)


@pytest.mark.parametrize("bins", [12, 48, 288])
@pytest.mark.parametrize("kind", ["poisson", 20, 5, 1, 0.3, "day and night", "clumps of twenty"])
def test_false_alarms_are_as_rare_as_stated(kind, bins):
    rng = np.random.default_rng([bins, 5])
    alarms, tests = 0, 0
    for mean in (2, 8, 30, 200):
        drawn = streams(kind, mean, bins, 5000, rng).astype("float64")
        around, inside = drawn[:, :-1], drawn[:, -1]
        fit = sources.rate(around.sum(axis=1), (around**2).sum(axis=1), np.full(5000, bins))
        p = sources.tail(inside, *fit, (around <= inside[:, None]).mean(axis=1))
        alarms, tests = alarms + np.sum(p < sources.ALPHA), tests + p.size
    assert alarms <= tests * sources.ALPHA + 2 * np.sqrt(tests * sources.ALPHA)


@pytest.mark.parametrize(("kind", "mean", "power"), [("poisson", 10, 0.98), (20, 20, 0.95), (5, 60, 0.9)])
def test_a_total_loss_is_seen(kind, mean, power):
    drawn = streams(kind, mean, 288, 2000, np.random.default_rng(6)).astype("float64")[:, :-1]
    fit = sources.rate(drawn.sum(axis=1), (drawn**2).sum(axis=1), np.full(2000, 288))
    p = sources.tail(np.zeros(2000), *fit, (drawn == 0).mean(axis=1))
    assert np.mean(p < sources.ALPHA) >= power


# -- the same rows told otherwise -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """Ten machines, three tables, an outage or two of each, some with a loss; and what is found."""
    rng = np.random.default_rng(11)
    tables, outages = {"Syslog": [], "WindowsEvent": [], "App_CL": []}, []
    for number in range(10):
        name = f"m{number}"
        for table, parts in tables.items():
            every = int(rng.integers(20, 900))
            times = times_every(every)
            lines = rows(times, name, f"/vm/{name}", Channel="System", EventRecordId=np.arange(len(times)).astype(str))
            gone = (number % 3 == 0) & (times >= NOON) & (times < BACK)
            parts.append(lines[~gone])
            assert table
        outages.append(away(computer=name, resource=f"/vm/{name}", bracket=20))
        if number % 2:
            start = NOON + seconds(int(rng.integers(2000, 90_000)))
            outages.append(away(start, start + seconds(700), computer=name, resource=f"/vm/{name}", bracket=7))
    frames = {table: pd.concat(parts, ignore_index=True) for table, parts in tables.items()}
    return frames, pd.concat(outages, ignore_index=True)


@pytest.fixture(scope="module")
def crowd_folder(crowd, tmp_path_factory):
    return write(tmp_path_factory.mktemp("crowd"), **crowd[0])


@pytest.fixture(scope="module")
def first(crowd, crowd_folder):
    """Give what is found of the crowd as it is; how often it is told otherwise, it is worked out once."""
    found = found_in(crowd_folder, {}, crowd[1])
    assert {"recovered", "possible_loss", "none_expected"} <= set(found["verdict"])
    return found


@given(_counts, st.integers(0, 60), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_longer_silence_never_gets_a_milder_word(bins, x, one, other, returned):
    """The longer the silence, the less probable; one that goes on is longer than one that ended."""
    short, long = sorted((one, other), reverse=True)
    mild = judged(x, bins, silence_probability=short, after_probability=short)[1]
    strong = judged(x, bins, silence_probability=long, after_probability=long, returned=returned)[1]
    assert WORDS.index(mild) <= WORDS.index(strong)


#: Rates by the hour of the day: steady, an office's, a batch of the night, and bursts.
RHYTHMS = {
    "steady": lambda hour, rng: 60.0,
    "office hours": lambda hour, rng: 300.0 if 8 <= hour < 18 else 10.0,
    "nightly": lambda hour, rng: 600.0 if 2 <= hour < 4 else 10.0,
    "bursty": lambda hour, rng: 60.0 * rng.gamma(0.5, 2.0),
}


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_on_the_same_rows_a_longer_silence_after_an_outage_never_gets_a_milder_word(rhythm, tmp_path):
    """Only the end of the silence differs; the last of them does not end."""
    rng = np.random.default_rng(7)
    hours = pd.date_range(DAYS.start, DAYS.end, freq="h", inclusive="left")
    parts = [
        h + pd.to_timedelta(np.sort(rng.uniform(0, 3600, rng.poisson(RHYTHMS[rhythm](h.hour, rng)))), unit="s")
        for h in hours
    ]
    times = parts[0].append(parts[1:]).as_unit("us")
    lines, outages = [rows(times_every(600), "b", "/vm/b")], []
    for n, minutes in enumerate((0, 10, 30, 60, 180, 360, 1080, None)):  # a machine each
        back = DAYS.end if minutes is None else NOON + seconds(60 * minutes)
        lines.append(rows(lost(times, NOON, back), f"a{n}", f"/VM/a{n}"))
        outages.append(away(computer=f"a{n}", resource=f"/vm/a{n}"))
    outages = pd.concat(outages, ignore_index=True)
    found = check(tmp_path, outages, machines=outages[["resource_id", "computer"]], Syslog=pd.concat(lines))
    said = found.sort_values("computer")["verdict"].tolist()
    assert len(said) == 8
    places = [WORDS.index(word) for word in said]
    assert places == sorted(places), said
    assert said[-1] == "stopped"
    assert said[0] in ("recovered", "undetermined")


def found_in(folder, frames, outages, span=DAYS):
    machines = outages[["resource_id", "computer"]].drop_duplicates()
    frame = check(folder, outages, span, machines, **frames)
    return frame.sort_values(["computer", "outage_start", "data_type"], ignore_index=True).drop(columns="outage")


def test_the_order_of_rows_and_outages_changes_nothing(crowd, first, tmp_path):
    frames, outages = crowd
    mixed = {table: frame.sample(frac=1, random_state=1) for table, frame in frames.items()}
    pd.testing.assert_frame_equal(found_in(tmp_path, mixed, outages.sample(frac=1, random_state=2)), first)


@pytest.mark.parametrize("shift", [pd.Timedelta("-399D"), pd.Timedelta("3h")])
def test_shifting_all_times_shifts_nothing_but_times(crowd, first, tmp_path, shift):
    """Rates go by the hour of the day and the week: whole weeks change no number, other hours no verdict."""

    def moved(frame):
        return frame.assign(**{c: frame[c] + shift for c in frame if frame[c].dtype.kind == "M"})

    frames, outages = crowd
    later = {table: moved(frame) for table, frame in frames.items()}
    span = Window(DAYS.start + shift, DAYS.end + shift)
    second = found_in(tmp_path, later, moved(outages), span)
    if shift % pd.Timedelta("7D"):
        assert second["verdict"].tolist() == first["verdict"].tolist()
    else:
        pd.testing.assert_frame_equal(second, moved(first))


def test_how_many_windows_a_query_carries_changes_nothing(crowd, crowd_folder, first, monkeypatch):
    monkeypatch.setattr(event_counts, "_PARTS", 8)
    monkeypatch.setattr(event_counts, "_REACH", pd.Timedelta(hours=30))
    pd.testing.assert_frame_equal(found_in(crowd_folder, {}, crowd[1]), first)


def test_a_server_gives_the_same_as_a_folder(crowd, crowd_folder, first, tmp_path, kusto_server):
    import duckdb

    frames, outages = crowd
    with duckdb.connect(tmp_path / "logs.duckdb") as connection:
        for table in frames:
            connection.execute(f"CREATE TABLE {table} AS FROM '{crowd_folder}/{table}.parquet'")
    with kusto_server(tmp_path / "logs.duckdb") as address, connect(address) as workspace:
        machines = outages[["resource_id", "computer"]].drop_duplicates()
        second = events.evidence(workspace, outages, DAYS, machines)[0]
    second = second.sort_values(["computer", "outage_start", "data_type"], ignore_index=True).drop(columns="outage")
    pd.testing.assert_frame_equal(second, first, check_dtype=False)


# -- the packaged queries against pandas ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Over 300,000 rows of 40 machines in any order: some without an id, some in a set, some twice, some unnumbered."""
    rng = np.random.default_rng(12)
    n = 300_000
    number = rng.integers(0, 40, n)
    micros = rng.integers(0, 2 * 86_400_000_000, n)
    frame = pd.DataFrame(
        {
            "TimeGenerated": DAYS.start + pd.to_timedelta(micros, unit="us").as_unit("us"),
            "Computer": [f"Host-{i}" for i in number],
            "_ResourceId": np.where(
                number % 7 == 0, "", np.where(number % 5 == 0, "/Set", [f"/VM/{i}" for i in number])
            ),
            "Channel": rng.choice(["System", "Application"], n),
            "EventRecordId": np.where(rng.random(n) < 0.1, "", (micros // 5_000_000).astype(str)),
        }
    )
    frame["_TimeReceived"] = (
        frame["TimeGenerated"] + pd.to_timedelta(rng.gamma(2, 3, n), unit="s").as_unit("us")
    ).where(rng.random(n) < 0.9)
    frame = pd.concat([frame, frame.sample(2000, random_state=1)], ignore_index=True)
    naive = frame.assign(_TimeReceived=frame["_TimeReceived"].dt.tz_localize(None))
    workspace = connect(write(tmp_path_factory.mktemp("lines"), WindowsEvent=naive))
    key = frame["_ResourceId"].str.lower()
    name = frame["Computer"].str.lower()
    frame["Key"] = key.where(key != "/set", key + " " + name).where(key != "", name)
    yield workspace, frame
    workspace.close()


@pytest.fixture(scope="module")
def asked(lines):
    rng = np.random.default_rng(13)
    keys = pd.Series([*sorted(set(lines[1]["Key"])), "nobody"])
    start = DAYS.start + pd.to_timedelta(rng.integers(0, 86_400 * 2, 60), unit="s").as_unit("us")
    return pd.DataFrame(
        {
            "Key": keys.sample(60, replace=True, random_state=3).to_numpy(),
            "Window": rng.integers(0, 50, 60),
            "Start": start,
            "End": start + pd.to_timedelta(rng.integers(60, 40_000, 60), unit="s").as_unit("us"),
            "Width": rng.uniform(30, 4000, 60),
            "Source": rng.choice(["System", "Application"], 60),
        }
    )


def whole():
    return {"table": "WindowsEvent", "start": DAYS.start, "end": DAYS.end, "shared": ["/set", "/nothing"]}


def in_bins(frame, windows):
    parts = [
        part.assign(
            Window=w.Window,
            Start=w.Start,
            Few=getattr(w, "Few", 0),
            Bin=((part["TimeGenerated"] - w.Start).dt.total_seconds() / w.Width).astype(int),
        )
        for w in windows.itertuples()
        for part in [
            frame[(frame["Key"] == w.Key) & (frame["TimeGenerated"] >= w.Start) & (frame["TimeGenerated"] < w.End)]
        ]
    ]
    return pd.concat(parts, ignore_index=True)


def assert_same(got, expected, by):
    expected = expected.reset_index()[list(got.columns)].sort_values(by, ignore_index=True)
    got = got.sort_values(by, ignore_index=True)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-9)


def test_event_machines_equals_pandas(lines):
    workspace, frame = lines
    expected = frame.groupby("Key")["TimeGenerated"].agg(Rows="size", FirstRow="min", LastRow="max")
    assert_same(workspace.ask("event_machines", **whole()), expected, ["Key"])


def test_event_hours_equals_pandas(lines):
    workspace, frame = lines
    late = (frame["_TimeReceived"] - frame["TimeGenerated"]).dt.total_seconds()
    hours = frame.assign(Hour=frame["TimeGenerated"].dt.floor("h"), Source=frame["Channel"], L=late > 1, K=late.notna())
    expected = hours.groupby(["Key", "Source", "Hour"]).agg(
        Rows=("Key", "size"),
        FirstRow=("TimeGenerated", "min"),
        LastRow=("TimeGenerated", "max"),
        Late=("L", "sum"),
        Known=("K", "sum"),
    )
    got = workspace.ask("event_hours", source=["Channel"], machines=[], **whole())
    assert_same(got, expected, ["Key", "Source", "Hour"])


def test_event_windows_equals_pandas(lines, asked):
    workspace, frame = lines
    windows = asked.assign(Few=asked["Window"] / 10)
    one = in_bins(frame, windows).merge(
        windows[["Window", "Start", "Source"]].drop_duplicates(), on=["Window", "Start"]
    )
    one = one[one["Channel"] == one["Source"]]
    one["Delay"] = (one["_TimeReceived"] - one["TimeGenerated"]).dt.total_seconds()
    one = (
        one.groupby(["Window", "Few", "Start", "Bin", "TimeGenerated", "EventRecordId"])
        .agg(Delay=("Delay", "min"), Same=("Key", "size"))
        .reset_index()
    )
    bins = one.groupby(["Window", "Few", "Start", "Bin"]).agg(
        N=("Same", "size"),
        C=("Same", "sum"),
        D=("Delay", "max"),
        F=("TimeGenerated", "min"),
        T=("TimeGenerated", "max"),
    )
    bins = bins.reset_index().assign(S=lambda b: b["N"] ** 2.0, A=lambda b: b["N"] > b["Few"])
    expected = bins.groupby("Window").agg(
        Rows=("N", "sum"),
        Copies=("C", "sum"),
        Squares=("S", "sum"),
        Above=("A", "sum"),
        MaxDelay=("D", "max"),
        FirstRow=("F", "min"),
        LastRow=("T", "max"),
    )
    got = workspace.ask("event_windows", windows=windows, source=["Channel"], content=["EventRecordId"], **whole())
    assert_same(got, expected, ["Window"])


def test_event_records_equals_pandas(lines, asked):
    workspace, frame = lines
    asked = asked.drop(columns="Source")
    one = in_bins(frame[frame["EventRecordId"] != ""], asked)
    one["Record"], one["Source"] = one["EventRecordId"].astype("int64"), one["Computer"].str.lower()
    key = ["Window", "Source", "Channel"]
    bins = one.drop_duplicates([*key, "Start", "Bin", "Record"]).groupby([*key, "Start", "Bin"])["Record"]
    bins = bins.agg(N="size", Low="min", High="max").reset_index()
    bins["Span"] = bins["High"] - bins["Low"] + 1
    bins["E"] = bins["N"] ** 2 / bins["Span"]
    expected = bins.groupby(key).agg(
        Records=("N", "sum"),
        Low=("Low", "min"),
        High=("High", "max"),
        Bins=("N", "size"),
        Spans=("Span", "sum"),
        Evenness=("E", "sum"),
    )
    assert_same(workspace.ask("event_records", windows=asked, **whole()), expected, key)


def test_a_printed_query_reads_its_windows_from_a_file(asked, tmp_path):
    from amakit.kql.catalog import render_text

    asked = asked.drop(columns="Source")
    asked.head(3).to_csv(tmp_path / "w.csv", index=False)
    values = {"table": "SecurityEvent", "start": "2026-03-02", "end": "2026-03-05", "shared": "/set,/nothing"}
    text = render_text("event_records", values | {"windows": str(tmp_path / "w.csv")})
    assert text == render("event_records", windows=asked.head(3), **(whole() | {"table": "SecurityEvent"}))


# -- demo fleets ----------------------------------------------------------------------------------------------------


def told(folder, name):
    frame = pd.read_csv(folder / "truth" / f"{name}.csv", dtype="str", keep_default_na=False)
    for column in frame.columns.intersection(["start", "end", "outage_start"]):
        times = pd.to_datetime(frame[column].replace("", None), utc=True, format="ISO8601")
        frame[column] = times.astype("datetime64[us, UTC]")
    return frame.astype(dict.fromkeys(frame.columns.intersection(["happened_inside", "arrived", "lost"]), int))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_verdicts_on_a_demo_fleet_agree_with_what_happened(seed, tmp_path):
    folder = demo.write(tmp_path / "fleet", machines=40, days=5, seed=seed)
    true = told(folder, "outages").query("cause != 'not_recorded'").reset_index(drop=True)  # of it nothing is known
    edges = {c: true[c.partition("_")[0]] for c in ("start_earliest", "start_latest", "end_earliest", "end_latest")}
    outages = true.assign(**edges, ongoing=true["ongoing"] == "true", evidence="")
    with connect(folder) as workspace:
        span = window("2026-03-02", "2026-03-07")
        machines = true[["resource_id", "computer"]].drop_duplicates()
        stopped = told(folder, "unrecorded").to_dict("records")
        found, *_ = events.check(workspace, outages, span, machines, stopped=stopped)
    ids = ["resource_id", "computer", "outage_start"]
    both = told(folder, "events").merge(found, how="outer", on=[*ids, "data_type"], indicator=True)
    assert set(both["_merge"]) == {"both"}
    over = outages.set_index(["resource_id", "computer", "start"])["ongoing"]
    both["ongoing"] = over.reindex(pd.MultiIndex.from_frame(both[ids])).to_numpy()
    assert (both.loc[both["ongoing"], "verdict"] == "undetermined").all()
    both = both[~both["ongoing"].astype("bool")]
    # the truth is by table: its sources together
    key = [*ids, "data_type"]
    words = both.groupby(key)["verdict"].agg(set)
    tables = both.groupby(key)[["arrived", "lost"]].first().join(words)
    lost_all = tables["arrived"].eq(0) & tables["lost"].gt(12)
    assert lost_all.any()
    said = tables.loc[lost_all, "verdict"]
    assert said.map(lambda words: "possible_loss" in words and "recovered" not in words).all(), said
    kept = tables[tables["lost"] == 0]
    assert not kept["verdict"].map({"possible_loss", "partial_loss", "returned_late", "stopped"}.intersection).any()
    # recovered: only where a loss of half would have shown, which a few rows cannot
    assert kept.loc[kept["arrived"] >= 100, "verdict"].map(lambda said: "recovered" in said).all()
    assert not kept.loc[kept["arrived"] == 0, "verdict"].map(lambda said: "recovered" in said).any()
    # nothing could be lost: said where less than one row was expected of the table, and else it is not known
    quiet = kept[kept["arrived"] == 0].join(both.groupby(key)["expected"].sum())
    assert quiet.loc[quiet["expected"] < 1, "verdict"].map({"none_expected"}.__eq__).mean() >= 0.9
    assert quiet["verdict"].map({"none_expected", "undetermined"}.issuperset).all()
    inside = both[both["lost"] == 0].groupby(key)["rows_inside"].sum()
    assert (inside - kept["arrived"]).between(0, 2).all()  # a few rows come twice
    assert span.end == horizon(span)
