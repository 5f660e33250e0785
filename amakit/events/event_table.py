"""One table of events: what its sources wrote hour by hour, and what became of their rows around outages.

One file, as it is one class: each answer about an outage narrows down the one before it.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd

from amakit.events import counts as event_counts
from amakit.events.continuity import continuity
from amakit.events.rhythm import ALPHA, Hours, cells_of, evenly, expected, none_probability, silences
from amakit.events.verdicts import FEWEST_BINS, OFF, QUIET, SMALL, judge, rate, sides_of, tail
from amakit.schemas import MACHINE, RESULTS, Verdict

_HOUR, _REPLAY, _NUMBERED = pd.Timedelta(hours=1), pd.Timedelta(minutes=5), pd.Timedelta(hours=6)
_NARROWEST, _TICK = pd.Timedelta(seconds=10), pd.Timedelta(microseconds=1)
#: So many hours of the same rate, in so many stretches, are looked at finely.
_LIKE, _STRETCHES = 24, 8
#: Fewer machines than this cannot show that a table ended for everybody.
_CROWD, _NEARLY_ALL = 5, 0.8
#: Verdicts that tell of a loss.
_LOST = (Verdict.POSSIBLE_LOSS, Verdict.PARTIAL_LOSS, Verdict.STOPPED, Verdict.RETURNED_LATE)
#: A table without so many rows that it should have written has ended, or had not begun.
_DUE = 20.0
_ITEM = [*MACHINE, "data_type", "source"]


#: Columns of ``events``, and what its verdicts rest on; see `amakit.events.verdicts.judge`.
EVIDENCE = [*RESULTS["events"], "outage", "spread", "inside_probability", "hours_probability", "silence_probability",
             "after_probability", "before_probability", "records_probability", "records_whole", "bins", "replayed",
             "stamped", "covered", "returned", "apart", "ongoing"]  # fmt: skip


class EventTable:
    """One table of events: what its sources wrote hour by hour, and the outages of their machines."""

    def __init__(self, workspace, table, window, hours, keys, shared, asked, away, unknown):  # noqa: ANN204 - private
        self.workspace, self.table, self.window, self.shared, self.away = workspace, table, window, shared, away
        self.apart = hours[hours["Key"].isin([f"{one} " for one in shared])]
        self.hours = hours.merge(keys, on="Key").rename(columns={"Source": "source"})
        if asked:
            self.last, self.machines = event_counts.last_row(workspace, table, window)
        else:
            self.last, self.machines = hours["LastRow"].max(), hours["Key"].nunique()
        self.first = hours["FirstRow"].min()
        self.grid = pd.date_range(window.start.floor("h"), window.end, freq="h", inclusive="left")
        self.cells = cells_of(self.grid)
        self.until = window.end if workspace.live else self.last + _TICK
        self.recorded = np.ones(len(self.grid))
        self.unknown = [(pd.Timestamp(start), pd.Timestamp(end)) for start, end in unknown]
        for start, end in self.unknown:
            self.recorded -= self._share(start, end)
        self.watched = self._share(window.start, self.until)
        self.hours["place"] = ((self.hours["Hour"] - self.grid[0]) // _HOUR).astype("int64")
        self.hours["first"], self.hours["last"] = (self._at(self.hours[c]) for c in ("FirstRow", "LastRow"))
        self.hours["Rows"] = self.hours["Rows"].astype("float64")
        self.pairs = self.hours[[*MACHINE, "source"]].drop_duplicates().sort_values([*MACHINE, "source"])

    # -- clock ----------------------------------------------------------------------------------------------------

    def _at(self, when):
        """Turn instants into hours from the start of the grid."""
        return (when - self.grid[0]) / _HOUR

    def _when(self, hours):
        return self.grid[0] + pd.Timedelta(round(hours * 3.6e9), "us")

    def _share(self, start, end):
        """Give the share of each hour of the grid that lies in a stretch."""
        places, low, high = np.arange(len(self.grid)), self._at(start), self._at(end)
        return np.clip(np.minimum(places + 1, high) - np.maximum(places, low), 0, 1)

    # -- what is known of a source ----------------------------------------------------------------------------------

    def _source(self, rows, outages, inside):
        """Make the hours of one source, the certain time of its machine's outages taken out of its history."""
        raw = np.bincount(rows["place"], rows["Rows"], len(self.grid))
        counts, exposure, alive = raw.copy(), self.watched.copy(), np.clip(self.recorded, 0, 1)
        order = np.argsort(rows["place"].to_numpy(), kind="stable")
        place, first, last = (rows[c].to_numpy()[order] for c in ("place", "first", "last"))
        cuts = np.flatnonzero(np.diff(place, prepend=-1))
        first, last = np.minimum.reduceat(first, cuts), np.maximum.reduceat(last, cuts)
        if first[0] > self._at(self.window.start) + 1:
            exposure[: int(first[0]) + 1] = 0
        for outage in outages:
            covered = self._share(outage.start, outage.end)
            exposure = np.clip(exposure - covered, 0, 1)
            counts -= covered / max(covered.sum(), 1e-9) * inside.get(outage.Index, 0)
            if outage.cause in OFF:
                alive -= self._share(outage.outer_start, outage.outer_end)
        until = self._until(rows["LastRow"].max(), outages)
        return raw, Hours(
            np.maximum(counts, 0),
            exposure * (self.recorded > 0.99),
            first,
            last,
            until,
            self.cells,
            np.clip(alive, 0, 1),
        )

    def _until(self, last, outages):
        """Say up to where the table tells something of a source.

        Files end with their last row.  Where that is a machine's own last row before one of its outages, it is the
        outage that ended it, not the export.
        """
        if last + _TICK >= self.until and self.machines < _CROWD:
            own = (one for one in outages if not one.ongoing)
            if any(one.outer_start - _REPLAY <= last <= one.outer_end for one in own):
                return self._at(self.window.end)
        return self._at(self.until)

    # -- outages ------------------------------------------------------------------------------------------------------

    def events(self) -> pd.DataFrame:
        """Test each source of each machine in each of its outages."""
        away = self.away.reset_index(names="outage")
        items = self.pairs.merge(away, on=MACHINE).reset_index(drop=True)
        self.known, self.items = {}, items
        if items.empty:
            self._fit(items)
            return self._without_names(away)
        inside, after = self._inside(items)
        self._fit(items, inside)
        hourly = pd.DataFrame([self._by_hours(item, inside["Rows"]) for item in items.itertuples()], index=items.index)
        for column in ("silent_from", "silent_to"):
            hourly[column] = pd.to_datetime(hourly[column], utc=True).astype("datetime64[us, UTC]")
        found = items.join(hourly)
        fine = self._around(found, inside)
        found = found.join(self._tested(found, inside, after, fine))
        found = found.join(self._records(items))
        # where a filter makes holes, an upgrade may just have written more of what is filtered
        alone = (found["records_share"] >= 0.99) | (found["inside_probability"] < QUIET)
        found["records_probability"] = found["records_probability"].where(
            alone | found["records_probability"].isna(), 1.0
        )
        found = found.assign(data_type=self.table, apart=False)
        found["verdict"] = judge(found)
        found = self._with_ends(found)
        return pd.concat([self._finished(found), self._without_names(away)], ignore_index=True)

    def _fit(self, items, inside=None):
        """Make the hours of every source, and its rhythm without the silences at its outages."""
        counts = {} if inside is None else inside["Rows"].to_dict()
        by_pair = defaultdict(list)
        for item in items.itertuples():
            by_pair[item.resource_id, item.computer, item.source].append(item)
        for pair, rows in self.hours.groupby([*MACHINE, "source"], sort=False):
            outages = by_pair[pair]
            raw, source = self._source(rows, outages, counts)
            starts, ends = source.gaps()
            met = {}
            rough = expected(source.without([]), starts, ends)
            for outage in outages:
                touching = (starts <= self._at(outage.end + _REPLAY)) & (ends >= self._at(outage.start))
                if touching.any():
                    gap = int(np.where(touching, rough, -1).argmax())
                    met[outage.Index] = gap
            questioned = sorted({gap for gap in met.values() if rough[gap] >= SMALL})
            late = rows["Late"].sum(), rows["Known"].sum()
            self.known[pair] = (raw, source, met, questioned, source.without(questioned), late)

    def _by_hours(self, item, inside):
        """Test one source and outage by its hours."""
        raw, source, met, _, told, (late, known) = self.known[item.resource_id, item.computer, item.source]
        start, end = self._at(item.start), self._at(item.end)
        start = max(start, 0.0)  # it may have begun before the window, of which nothing was counted
        places = np.arange(int(start), min(len(raw), max(int(np.ceil(end)), int(start) + 1)))
        carried = told.carried[places]
        known_time = carried.any() and (self.recorded[places] > 0.99).all()
        due = evenly(told, start, end) if known_time else np.nan  # hours without a rate add nothing: too few, if any
        spread = (told.fano - 1) / max(due, 1e-9) + told.fano / max(told.rows, 1e-9)
        off = item.cause in OFF
        found = {
            "expected": np.nan if off else due,
            "spread": spread,
            "hours_probability": 1.0,
            "silence_probability": 1.0,
            "after_probability": 1.0,
            "before_probability": 1.0,
            "returned": True,
            "burst": False,
            "silent_from": pd.NaT,
            "silent_to": pd.NaT,
            "silent_rows": np.nan,
            "whole_rows": np.nan,
            "carried": bool(carried.size and carried.all()),
            "stamped": bool(known > 0 and late < 0.05 * known),
            "covered": bool(item.start >= self.first and item.start <= self.until)
            and not any(low <= item.end and item.start <= high for low, high in self.unknown),
        }
        if not off and np.isfinite(due) and len(places):
            found["hours_probability"] = self._touched(raw, source, told, places)
        gap = met.get(item.Index)
        if gap is None:
            return found
        starts, ends = source.gaps()
        since, back = starts[gap], ends[gap]
        whole, later = float(expected(told, since, back)), float(expected(told, max(end, since), max(back, end)))
        before = float(expected(told, since, self._at(item.outer_start))) if since < self._at(item.outer_start) else 0.0
        found["silence_probability"] = 1.0 if off else float(none_probability(told, whole))
        found["after_probability"] = float(none_probability(told, later))
        found["before_probability"] = float(none_probability(told, before))
        found["returned"] = gap < len(starts) - 1
        if min(found["silence_probability"], found["after_probability"]) < ALPHA:
            found |= {"silent_from": self._when(since), "silent_rows": whole, "whole_rows": whole}
            if found["returned"]:
                place = int(back)
                surplus = raw[place : place + 2].sum() - told.rates[place : place + 2].sum()
                found |= {"silent_to": self._when(back), "burst": bool(surplus >= 0.5 * whole)}
        return found

    def _touched(self, raw, source, told, places):
        """Give the probability of so few rows in the hours that an outage touches, at the level of the hours around."""
        around = np.r_[max(0, places[0] - 3) : places[0], places[-1] + 1 : min(len(raw), places[-1] + 4)].astype(int)
        rates = told.rates * self.watched * source.alive
        beside = float(rates[around].sum())
        level = raw[around].sum() / beside if beside >= 2 * SMALL else 1.0
        due = float(rates[places].sum()) * min(1.0, level)
        spread = (told.fano - 1) / max(due, 1e-9) + told.fano / max(told.rows, 1e-9)
        return float(tail(raw[places].sum(), due, spread))

    # -- finer ------------------------------------------------------------------------------------------------------

    def _ask(self, name, parts, combine, by=()):
        return event_counts.in_windows(self.workspace, name, self.table, self.shared, parts, combine, by)

    def _keyed(self, parts, items):
        """Give the parts of each item the keys under which the rows of its source stand."""
        keys = self.hours[[*MACHINE, "source", "Key"]].drop_duplicates()
        named = items[[*MACHINE, "source"]].reset_index(names="item").merge(keys, on=[*MACHINE, "source"])
        return parts.merge(named[["item", "Key", "source"]], on="item").rename(columns={"source": "Source"})

    def _counted(self, answer, side, items):
        found = answer[answer["side"] == side].set_index("item")[[*event_counts.WINDOW_COUNTS]].reindex(items.index)
        return found.fillna({"Rows": 0.0, "Copies": 0.0, "Squares": 0.0, "Above": 0.0})

    def _inside(self, items):
        """Count the rows inside, and in the minutes after it, which would hold a replay that is stamped at arrival."""
        edges = [items["start"], items["end"], (items["outer_end"] + _REPLAY).clip(upper=self.window.end)]
        parts = sides_of(items, edges)
        width = (parts["End"] - parts["Start"]).dt.total_seconds()
        answer = self._ask(
            "event_windows", self._keyed(parts.assign(Width=width, Few=0.0), items), event_counts.WINDOW_COUNTS
        )
        seconds = (edges[2] - edges[1]).dt.total_seconds().clip(lower=0)
        return self._counted(answer, 0, items), self._counted(answer, 1, items).assign(seconds=seconds)

    def _around(self, found, inside):
        """Count the rows in bins as long as the outage, in hours of the same rate, where a loss could show."""
        length = found["end"] - found["start"]
        tested = found[(found["expected"] >= SMALL) & (length > pd.Timedelta(0)) & (length <= _HOUR)]
        parts = []
        for item in tested.itertuples():
            width = max(item.end - item.start, _NARROWEST)
            for since, until in self._like(item, width):
                bins = (until - since) // width
                parts.append((item.Index, 0, since, since + bins * width, bins, width.total_seconds()))
        parts = pd.DataFrame(parts, columns=["item", "side", "Start", "End", "bins", "Width"])
        few = parts["item"].map(inside["Rows"] / length.dt.total_seconds()).astype("float64") * parts["Width"]
        answer = self._ask("event_windows", self._keyed(parts.assign(Few=few), found), event_counts.WINDOW_COUNTS)
        around = self._counted(answer, 0, found)
        bins = parts.groupby("item")["bins"].sum().reindex(found.index).fillna(0).astype("float64")
        return around.assign(bins=bins, width=parts.groupby("item")["Width"].first().reindex(found.index))

    def _like(self, item, width):
        """Choose stretches of whole hours in which the source has the same rate, the nearest first."""
        _, source, _, questioned, told, _ = self.known[item.resource_id, item.computer, item.source]
        each = item.expected / ((item.end - item.start) / _HOUR)
        usable = (source.exposure > 0.999) & told.carried & (told.rates >= each / 2) & (told.rates <= 2 * each)
        starts, ends = source.gaps()
        for gap in questioned:
            usable[int(starts[gap]) : int(np.ceil(ends[gap]))] = False
        hours = np.flatnonzero(usable)
        middle = (self._at(item.start) + self._at(item.end)) / 2
        chosen = np.sort(hours[np.abs(hours + 0.5 - middle).argsort(kind="stable")[:_LIKE]])
        runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1) if len(chosen) else []
        nearest = sorted(runs, key=lambda run: abs(run.mean() + 0.5 - middle))[:_STRETCHES]
        return [(self.grid[run[0]], self.grid[run[-1]] + _HOUR) for run in nearest if len(run) * _HOUR >= width]

    def _tested(self, found, inside, after, around):
        """Hold what is inside against what is around."""
        seconds = (found["end"] - found["start"]).dt.total_seconds()
        mean, spread = rate(around["Rows"], around["Squares"], around["bins"])
        fine = around["bins"] >= FEWEST_BINS
        due = (pd.Series(mean, found.index) / around["width"] * seconds).where(fine, found["expected"])
        due = due.mask(found["cause"].isin(OFF)).mask(seconds == 0, 0.0)
        spread = np.where(fine, spread, found["spread"])
        share = np.where(fine, 1 - around["Above"] / around["bins"].where(fine, 1), 0.0)
        few = pd.Series(tail(inside["Rows"], due.fillna(0), spread, share), found.index)
        each = due / seconds.where(seconds > 0)
        surplus = after["Copies"] - (each * after["seconds"]).fillna(0)
        burst = 1 - tail(after["Copies"] - 1, (each * after["seconds"]).fillna(0), spread)
        replayed = (burst < 0.01) & (surplus >= 0.5 * (due - inside["Rows"])) & (surplus > 0)
        found["expected"], found["spread"] = due, spread
        return pd.DataFrame(
            {
                "rows_inside": inside["Rows"],
                "max_delay_s": inside["MaxDelay"],
                "bins": around["bins"],
                "inside_probability": few.where(due.notna()),
                "replayed": replayed | found["burst"],
            }
        )

    def _with_ends(self, found):
        """Look up the last row before and the first after where the hours do not tell them: all within one hour."""
        short = found[
            (found["verdict"] == Verdict.POSSIBLE_LOSS) & (found["rows_inside"] == 0) & found["silent_from"].isna()
        ]
        edges = [
            (short["start"] - _HOUR).clip(lower=self.first),
            short["start"],
            short["end"],
            (short["end"] + _HOUR).clip(upper=self.window.end),
        ]
        parts = sides_of(short, edges).assign(Width=3600.0, Few=0.0)
        answer = self._ask("event_windows", self._keyed(parts[parts["side"] != 1], found), event_counts.WINDOW_COUNTS)
        last, first = (self._counted(answer, side, short)[c] for side, c in ((0, "LastRow"), (2, "FirstRow")))
        known = last.notna() & first.notna()
        return found.assign(
            silent_from=found["silent_from"].fillna(last[known]), silent_to=found["silent_to"].fillna(first[known])
        )

    def _records(self, items):
        """Say of each source with record numbers how probable it is that so many are missing, and if none is."""
        nothing = pd.DataFrame(
            {"records_probability": np.nan, "records_whole": False, "records_share": np.nan}, items.index
        )
        ended = items[~items["ongoing"]]
        if "EventRecordId" not in self.workspace.columns(self.table) or ended.empty:
            return nothing
        # other outages stay in: what was read again after them is no hole, and the last record before may be theirs
        edges = [
            (ended["outer_start"] - _NUMBERED).clip(lower=self.first),
            ended["outer_start"],
            ended["outer_end"],
            (ended["outer_end"] + _NUMBERED).clip(upper=self.until),
        ]
        parts = self._keyed(sides_of(ended, edges).assign(Width=1800.0), items)
        # one window for a machine and outage holds all its channels
        first = ended.reset_index(names="item").groupby("outage")["item"].transform("first")
        leader = dict(zip(ended.index, first, strict=True))
        parts = parts[parts["item"].map(leader) == parts["item"]]
        answer = self._ask("event_records", parts, event_counts.RECORD_COUNTS, ("Source", "Channel"))
        tested = continuity(answer)
        if tested.empty:
            return nothing
        alone = tested["share"] >= 0.99  # nearly all is collected: a filter cannot be what took the rest
        tested["whole"] = alone & (tested["found"] >= tested["numbers"])
        grouped = tested.groupby(["item", "Channel"])
        told = grouped.agg(
            p=("probability", "min"), n=("probability", "size"), whole=("whole", "all"), share=("share", "min")
        )
        key = pd.MultiIndex.from_arrays([pd.Series(leader).reindex(items.index), items["source"]])
        told = told.reindex(key).set_axis(items.index)
        return pd.DataFrame(
            {
                "records_probability": (told["p"] * told["n"]).clip(upper=1.0),
                "records_whole": told["whole"].eq(True).to_numpy(),
                "records_share": told["share"],
            }
        )

    # -- the tables -----------------------------------------------------------------------------------------------

    def _finished(self, found):
        """Say how many rows were expected of what was judged, how surely, and when the source was silent."""
        longer = found["verdict"].isin([Verdict.STOPPED, Verdict.RETURNED_LATE])
        lost = longer | found["verdict"].isin([Verdict.POSSIBLE_LOSS])
        tests = found[["inside_probability", "hours_probability", "silence_probability", "after_probability"]]
        count = tests.notna().sum(axis=1)
        p = (tests.min(axis=1) * count).clip(upper=1.0)
        numbered = found["records_probability"].notna() & (found["records_probability"] < p)
        p = found["records_probability"].where(numbered, p)
        judged = found["expected"].notna() | longer | numbered
        return found.assign(
            expected=found["silent_rows"].where(longer, found["expected"]),
            p_value=p.where(judged),
            silent_from=found["silent_from"].where(lost),
            silent_to=found["silent_to"].where(lost),
            inside_expected=found["expected"],
        )

    def _without_names(self, away):
        """Give the sources whose rows name no computer under an id that several share: nothing can be told of one."""
        blank = self.apart.assign(resource_id=self.apart["Key"].str.rstrip())[
            ["resource_id", "Source"]
        ].drop_duplicates()
        rows = away.merge(blank, on="resource_id").rename(columns={"Source": "source"})
        named = rows[[*MACHINE, "source"]].merge(self.pairs.assign(named=True), how="left")["named"]
        rows = rows[named.isna().to_numpy()]  # where its own rows are named, they are judged
        return rows.assign(
            data_type=self.table,
            verdict=str(Verdict.UNDETERMINED),
            rows_inside=np.nan,
            expected=np.nan,
            max_delay_s=np.nan,
            p_value=np.nan,
            apart=True,
            bins=0.0,
            silent_from=pd.Series(pd.NaT, rows.index, dtype="datetime64[us, UTC]"),
            silent_to=pd.Series(pd.NaT, rows.index, dtype="datetime64[us, UTC]"),
        ).reindex(columns=[*EVIDENCE, "start", "end"])

    def silences(self, events: pd.DataFrame) -> pd.DataFrame:
        """List every silence that a source's own rhythm does not explain, with the outage in which it began."""
        rows = []
        for (resource, computer, source), (_, hours, met, questioned, told, _) in self.known.items():
            starts, ends = hours.gaps()
            begun = [(gap, self._due(told, starts[gap], ends[gap])) for gap in questioned]
            begun = [(gap, due) for gap, due in begun if none_probability(told, due) < ALPHA]
            for gap, due in [*begun, *((gap, due) for gap, due, _ in silences(hours, questioned))]:
                ongoing = gap == len(starts) - 1
                back = pd.NaT if ongoing else self._when(ends[gap])
                outage = self._began_in(starts[gap], [item for item, one in met.items() if one == gap], told)
                rows.append(
                    (resource, computer, self.table, source, self._when(starts[gap]), back, due, ongoing, outage)
                )
        found = pd.DataFrame(rows, columns=list(RESULTS["sources"]))
        lost = events[events["silent_from"].notna()].assign(ongoing=lambda e: e["silent_to"].isna())
        longer = (lost["silent_to"] - lost["silent_from"]) / (lost["end"] - lost["start"])
        lost["expected"] *= longer.where(lost["verdict"] == Verdict.POSSIBLE_LOSS, 1.0).fillna(1.0)
        found = pd.concat([found, lost[list(found.columns)]], ignore_index=True)
        return found.drop_duplicates([*_ITEM, "silent_from"], ignore_index=True)

    def _due(self, told, start, end):
        """Give the rows that were due in a silence but for its unknown parts, to the minute."""
        known, told = [(start, end)], replace(told, rates=told.rates / np.where(self.recorded > 0, self.recorded, 1))
        for since, until in self.unknown:
            sides = [((a, min(b, self._at(since))), (max(a, self._at(until)), b)) for a, b in known]
            known = [(a, b) for pair in sides for a, b in pair if a < b]
        return sum(float(expected(told, a, b)) for a, b in known)

    def questioned(self, events: pd.DataFrame, silent: pd.DataFrame) -> pd.DataFrame:
        """Give the stretches in which a source is said to have lost rows or been silent."""
        lost = events[events["verdict"].isin(_LOST)]
        since, until = lost["silent_from"].fillna(lost["start"]), lost["silent_to"].fillna(lost["end"])
        until = until.where(lost["verdict"] != Verdict.STOPPED, self.until)
        silences = silent["silent_from"], silent["silent_to"].fillna(self.until)
        both = zip((since, until), silences, ("since", "until"), strict=True)
        times = {name: [part.astype("datetime64[us, UTC]") for part in parts] for *parts, name in both}
        return pd.DataFrame({name: pd.concat(parts, ignore_index=True) for name, parts in times.items()})

    def edges(self) -> list[tuple]:
        """Give where the files of the table begin after the window's start and end before its end, if rows were due."""
        if self.workspace.live:
            return []
        each = self.hours["Rows"].sum() / max((self.last - self.first) / _HOUR, 1.0)
        parts = (self.window.start, self.first), (self.last, self.window.end)
        return [(a, b, None) for a, b in parts if b - a > _HOUR and each * ((b - a) / _HOUR) >= _DUE]

    def _began_in(self, since, items, told):
        """Give the start of the outage in which a silence began: nothing much was to be expected before it."""
        for item in items:
            outage = self.items.loc[item]
            before = self._at(outage["outer_start"])
            if none_probability(told, expected(told, min(since, before), before)) >= ALPHA:
                return outage["outage_start"]
        return pd.NaT
