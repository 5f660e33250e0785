"""From frames to facts to sentences, in English and Japanese.

Every number in a sentence is computed here from the tables, never typed.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from amakit.analysis import Analysis
from amakit.find.versions import rolled_back
from amakit.prose import facts
from amakit.prose.evidence import rendered
from amakit.prose.language import Words, plain, texts, visible, zone
from amakit.schemas import MACHINE, Cause, machine_labels
from amakit.study import alert_coverage
from amakit.study.alert_coverage import SLOW


@dataclass(frozen=True)
class Narrator(Words):
    """Says what an analysis found.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told, for example ``Asia/Tokyo``.

    Raises
    ------
    UsageError
        When the language or the zone is not known.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> Narrator(found).timing()
    'There was no upgrade whose time could be shown.'
    """

    analysis: Analysis
    language: str = "en"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        texts(self.language)
        zone(self.timezone)

    def data(self) -> str:
        """Say what was looked at."""
        a = self.analysis
        parts = [self._sentence("synthetic")] if a.run["synthetic"] else []
        parts.append(
            self._sentence(
                "data", heartbeats=self._count(int(a.runs["beats"].sum()), "heartbeat"), zone=self.timezone,
                machines=self._machines(a.machines), start=self._time(a.window.start), end=self._time(a.window.end),
                horizon=self._horizon(),
            )
        )  # fmt: skip
        return "\n\n".join(parts)

    def inventory(self) -> str:
        """Say which versions report at the end, and who is silent."""
        machines = self.analysis.machines
        reporting, silent = (machines[machines["state"] == state] for state in ("reporting", "silent"))
        known = {"machines": self._machines(machines), "horizon": self._horizon()}
        parts = [self._sentence("inventory none", **known)]
        if len(reporting):
            named = (reporting["os_type"] + " " + reporting["version"]).value_counts().sort_index()
            parts = [
                self._sentence(
                    "inventory", reporting=self._number(len(reporting)) if self.language == "en"
                    else self._machines(reporting), versions=self._count(len(named), "version"),
                    common=plain(named.idxmax()), most=self._count(int(named.max()), "machine"), **known,
                )
            ]  # fmt: skip
        if len(silent):
            parts.append(self._sentence("silent", machines=self._machines(silent), names=self._names(silent)))
        return self._join(parts)

    def changes(self) -> str:
        """Say how many changes of version there were, and how closely their moments are known."""
        a, changes = self.analysis, self.analysis.transitions
        if changes.empty:
            return self._sentence("changes none", start=self._time(a.window.start), end=self._time(a.window.end))
        width = (changes["first_new"] - changes["last_old"]).dt.total_seconds()
        kinds = changes["kind"].value_counts()
        return self._sentence(
            "changes", machines=self._machines(changes.drop_duplicates(MACHINE)),
            upgrades=self._count(int(kinds.get("upgrade", 0)), "upgrade"),
            downgrades=self._count(int(kinds.get("downgrade", 0)), "downgrade"),
            median=self._duration(width.quantile(0.5, interpolation="higher")), widest=self._duration(width.max()),
            name=plain(self._labels(changes)[width.idxmax()]),
        )  # fmt: skip

    def adoption(self) -> str:
        """Say which version gained the most machines."""
        a = self.analysis
        runs = a.runs[a.runs["line"] == 0]
        last = runs.sort_values("last").groupby(MACHINE)[["os_type", "version"]].last()
        first = runs.sort_values("last").groupby(MACHINE)[["os_type", "version"]].first()
        ends = [(part["os_type"] + " " + part["version"]).value_counts() for part in (first, last)]
        gained = ends[1].sub(ends[0], fill_value=0).sort_index()
        if gained.empty or gained.max() <= 0:
            return self._sentence("adoption none")
        most = gained.idxmax()
        return self._sentence("adoption", version=plain(most), before=self._number(int(ends[0].get(most, 0))),
                              after=self._count(int(ends[1][most]), "machine"))  # fmt: skip

    def around(self, outage: int | None = None) -> str:
        """Say what one outage cost.

        Parameters
        ----------
        outage : int, optional
            Index of a row of ``analysis.outages``; by default that which `amakit.charts.around` shows.
        """
        outage = facts.worst(self.analysis) if outage is None else outage
        if outage is None:
            return self._sentence("around none")
        own = self.analysis.outages.loc[[outage]]
        lost = facts.by_type(facts.losses(self.analysis, own))
        total = [int(lost[column].sum()) for column in ("lost", "lost_low", "lost_high")]
        return self._text(
            "around", name=plain(self._labels(own).iloc[0]), cause=plain(self._cause(own["cause"].iloc[0])),
            value=self._bounded(own.iloc[0]), lost=self._counted(*total),
            types=self._count(int((lost["lost_high"] > 0).sum()), "data type"),
        )  # fmt: skip

    def timing(self) -> str:
        """Say when in the week and in the day upgrades came."""
        seen = self.analysis.transitions.query("kind == 'upgrade'")["first_new"].dt.tz_convert(self.timezone)
        if seen.empty:
            return self._sentence("timing none")
        cells = pd.DataFrame({"day": seen.dt.day_of_week, "hour": seen.dt.hour}).value_counts().sort_index()
        day, hour = cells.idxmax()
        outside = int((~((seen.dt.day_of_week < 5) & seen.dt.hour.between(8, 17))).sum())
        return self._sentence(
            "timing", day=self._text("days").split()[day], hour=f"{hour:02}", zone=self.timezone,
            most=self._number(int(cells.max())), upgrades=self._count(len(seen), "upgrade"),
            outside=self._number(outside), share=f"{100 * outside / len(seen):.0f}",
        )  # fmt: skip

    def unsteady(self) -> str:
        """Name the machines that went back to an earlier version, and those that changed often."""
        changes = self.analysis.transitions
        back = changes[rolled_back(changes)].drop_duplicates(MACHINE)
        parts = [self._sentence("undone none")]
        if len(back):
            key = "undone" if len(back) == 1 else "undone many"
            parts = [self._sentence(key, machines=self._machines(back), names=self._names(back))]
        often = changes[changes.groupby(MACHINE)["kind"].transform("size") >= 3].drop_duplicates(MACHINE)
        if len(often):
            parts.append(self._sentence("flapping", machines=self._machines(often), names=self._names(often)))
        return self._join(parts)

    def limits(self) -> str:
        """Say what the analysis cannot show."""
        from amakit.fetch.heartbeats import LOOKBACK

        run = self.analysis.run
        lines = [
            self._sentence("limit brackets"),
            self._sentence("limit attempts"),
            self._sentence("limit horizon", horizon=self._horizon()),
            self._sentence("limit silent", days=LOOKBACK.days),
        ]
        if run["missing_tables"]:
            lines.append(self._sentence("limit tables", tables=", ".join(run["missing_tables"])))
        return "\n".join(f"- {line}" for line in lines)

    def record(self) -> str:
        """Say by what the numbers were made."""
        run = self.analysis.run
        return self._sentence(
            "record", version=run["amakit"], workspace=plain(run["workspace"]),
            queries=self._count(len(run["queries"]), "query"),
            rows=self._count(sum(q["rows"] for q in run["queries"]), "row"),
            seconds=f"{sum(q['seconds'] for q in run['queries']):.1f}",
        )  # fmt: skip

    def changes_table(self, most: int = 200) -> pd.DataFrame:
        """Give the changes of version with their brackets, the newest first.

        Parameters
        ----------
        most : int
            How many rows at most; all of them are in the result tables.

        Returns
        -------
        pandas.DataFrame
            With headings in the language and times in the zone.
        """
        changes = self.analysis.transitions.sort_values("first_new", ascending=False).head(most)
        width = (changes["first_new"] - changes["last_old"]).dt.total_seconds()
        columns = ["computer", "os_type", "from_version", "to_version", "kind", "last_old", "first_new"]
        table = changes[columns].assign(
            last_old=changes["last_old"].map(self._moment), first_new=changes["first_new"].map(self._moment),
            bracket=width.map(self._duration), computer=self._labels(changes),
            kind=changes["kind"].map(self._heading),
        )  # fmt: skip
        return self._headed(table)

    def unsteady_table(self, most: int = 100) -> pd.DataFrame:
        """Give the machines that changed version more than once or went back, with the order of versions.

        Parameters
        ----------
        most : int
            How many rows at most.

        Returns
        -------
        pandas.DataFrame
            Those with the most changes first.
        """
        changes = self.analysis.transitions
        changes = changes.assign(computer=self._labels(changes), machine=changes["computer"], back=rolled_back(changes))
        machine = ["resource_id", "machine"]
        own = changes.groupby([*machine, "computer"], as_index=False).agg(
            os_type=("os_type", "first"), changes=("kind", "size"), back=("back", "any")
        )
        own = own[(own["changes"] > 1) | own["back"]]
        own = own.sort_values(["changes", "computer"], ascending=[False, True]).head(most)
        steps = changes.merge(own[machine], on=machine).groupby(machine)
        order = {name: " → ".join([part["from_version"].iloc[0], *part["to_version"]]) for name, part in steps}
        told = [order[name] for name in own[machine].itertuples(index=False, name=None)]
        return self._headed(own[["computer", "os_type", "changes"]].assign(versions=told))

    def cost(self) -> str:
        """Say whether upgrades cost data, how much of what, and how long agents were blind."""
        a, own = self.analysis, self._upgrades()
        if own.empty:
            parts = [self._sentence("upgrades none", start=self._time(a.window.start), end=self._time(a.window.end))]
            return "\n\n".join([*parts, self._still()])
        told = facts.summary(a, own)
        verdict = "cost" if told["certain"] else "cost perhaps" if told["perhaps"] else "cost none"
        ended = own[own["downtime_s"].notna()]
        numbers = {key: self._number(told[key]) for key in ("certain", "perhaps", "spared")}
        numbers |= {
            "verdict": self._text(verdict), "upgrades": self._count(len(own), "upgrade"),
            "machines": self._machines(own.drop_duplicates(MACHINE)),
        }  # fmt: skip
        if len(ended):
            blind = told["blind"]
            numbers |= {key: self._duration(blind[f"{key}_s"]) for key in ("median", "low", "high")}
            numbers |= {
                "longest": self._bounded(ended.loc[blind["longest"]]),
                "name": plain(self._labels(ended)[blind["longest"]]),
            }
        parts = [self._sentence("upgrades" if len(ended) else "upgrades unended", **numbers)]
        if told["lost"]:
            each = [self._text("lost one", type=plain(name), lost=self._number(row["lost"]),
                               low=self._number(row["lost_low"]), high=self._number(row["lost_high"]))
                    for name, row in told["lost"].items()]  # fmt: skip
            parts.append(self._sentence("lost", lost=", ".join(each)))
        if told["unseen"]:
            parts.append(self._sentence("unseen", types=", ".join(map(plain, told["unseen"]))))
        parts.append(self._still())
        return "\n\n".join(parts)

    def events(self) -> str:
        """Say what became of rows that an agent reads from logs, and what is not counted."""
        events = getattr(self.analysis, "events", None)
        parts = [self._sentence("events none" if events is None else "events nothing")]
        own = events[events["cause"] == Cause.UPGRADE] if events is not None else ()
        if len(own):
            verdicts = own["verdict"].value_counts()
            numbers = {
                "recovered": "recovered", "quiet": "none_expected", "open": "undetermined", "loss": "possible_loss"
            }  # fmt: skip
            known = {fact: self._number(int(verdicts.get(verdict, 0))) for fact, verdict in numbers.items()}
            parts = [self._sentence("events", pairs=self._count(len(own), "pair"), **known)]
            loss = own[own["verdict"] == "possible_loss"]
            if len(loss):
                names = (loss["data_type"].map(plain), self._labels(loss).map(plain))
                told = [self._text("stream of", stream=stream, name=name) for stream, name in zip(*names, strict=True)]
                parts.append(self._sentence("events lost", names=self._listed(told)))
        return "\n\n".join([self._join(parts), self._sentence("changes not counted")])

    def downtimes(self) -> str:
        """Say how long upgrades blinded agents, and how the product lines differ."""
        own = self._upgrades()
        own = own[own["downtime_s"].notna()]
        if own.empty:
            return self._sentence("downtimes none")
        lines = [
            self._text("line", os=plain(os), n=self._number(len(part)), median=self._duration(part.median()))
            for os, part in own.groupby("os_type")["downtime_s"]
        ]  # fmt: skip
        return self._sentence(
            "downtimes", upgrades=self._count(len(own), "upgrade"), lines="; ".join(lines),
            median=self._duration(own["downtime_s"].quantile(0.5, interpolation="higher")),
            most=self._duration(own["downtime_s"].quantile(0.9, interpolation="higher")),
        )  # fmt: skip

    def others(self) -> str:
        """Say which outages were not upgrades."""
        own = self._others()
        if own.empty:
            return self._sentence("others none")
        counts = own["cause"].value_counts()
        order = [cause for cause in Cause if cause in counts]
        causes = [self._text("cause of", cause=self._cause(c), n=self._number(int(counts[c]))) for c in order]
        return self._sentence(
            "others", outages=self._count(len(own), "outage"), causes=", ".join(causes),
            machines=self._machines(own.drop_duplicates(MACHINE)),
            were=self._text("were" if len(own) == 1 else "were many"),
        )  # fmt: skip

    def together(self) -> str:
        """Say which machines of one group were blind at once."""
        found = self._together
        if found.empty:
            return self._sentence("together none")
        sure = found[found["certain_s"] > 0]
        possible = self._count(len(found) - len(sure), "stretch")
        first = (sure if len(sure) else found).iloc[0]
        known = {"names": self._members(first), "group": plain(self._group(first)), "possible": possible}
        if sure.empty:
            return self._sentence("together perhaps", seconds=self._duration(first["possible_s"]), **known)
        whole = int((sure["at_once"] == sure["members"]).sum())
        return self._sentence(
            "together", certain=self._count(len(sure), "stretch"), seconds=self._duration(first["certain_s"]),
            whole=self._count(whole, "stretch"), **known,
        )  # fmt: skip

    def alerts(self, windows: Iterable[int] = alert_coverage.WINDOWS, frequency: float = 1) -> str:
        """Say which heartbeat alerts upgrades would have tripped, and which window they would not.

        Parameters
        ----------
        windows : iterable of int
            In minutes.
        frequency : float
            Minutes between evaluations.
        """
        silent, found = self._noticed(windows, frequency)
        if found.empty:
            return self._sentence("alerts none")
        upgrade = silent["cause"] == Cause.UPGRADE
        lines = []
        for window in windows:
            counts = found.loc[upgrade, f"alert {window}"].value_counts()
            if counts.get("misses", 0) < upgrade.sum():
                numbers = {verdict: self._number(int(counts.get(verdict, 0))) for verdict in ("fires", "depends")}
                lines.append(self._text("alerts line", window=window, **numbers))
        parts, upgrades = [], self._count(int(upgrade.sum()), "upgrade")
        if lines:
            parts.append(
                self._sentence("alerts", upgrades=upgrades, frequency=f"{frequency:g}", lines="; ".join(lines))
            )
        elif upgrade.any():
            parts.append(self._sentence("alerts quiet", upgrades=upgrades))
        safe = alert_coverage.safe_window(silent[upgrade])
        if safe is not None:
            caught = self._noticed([safe], frequency)[1].loc[~upgrade, f"alert {safe}"] == "fires"
            parts.append(
                self._sentence("alerts safe", safe=safe, caught=self._number(int(caught.sum())),
                               others=self._number(int((~upgrade).sum())))
            )  # fmt: skip
        elif upgrade.any():
            parts.append(self._sentence("alerts unsafe"))
        shown = int((found["hourly share"] == "fires").sum())
        parts.append(self._sentence("alerts share", fires=self._number(shown), n=self._number(len(found))))
        return self._join(parts)

    def gap_limits(self) -> str:
        """Say what the analysis of outages and losses cannot show."""
        from amakit.fetch.heartbeats import LOOKBACK

        run = self.analysis.run
        slow = sorted(self.analysis.gaps.loc[self.analysis.gaps["interval_s"] >= SLOW, "data_type"].unique())
        lines = [self._sentence("limit bounds")]
        lines += [self._sentence("limit slow", types=", ".join(map(plain, slow)))] if slow else []
        lines += [self._sentence(key) for key in ("limit cause", "limit delay", "limit groups")]
        lines += [self._sentence("limit horizon", horizon=self._horizon()),
                  self._sentence("limit silent", days=LOOKBACK.days)]  # fmt: skip
        if run["missing_tables"]:
            lines.append(self._sentence("limit tables", tables=", ".join(map(plain, run["missing_tables"]))))
        return "\n".join(f"- {line}" for line in lines)

    def lost_table(self, most: int = 200) -> pd.DataFrame:
        """Give what each upgrade cost each data type, the longest downtime first.

        Parameters
        ----------
        most : int
            How many rows at most; all of them are in the result tables.

        Returns
        -------
        pandas.DataFrame
            A column for each data type, with the samples lost and, where the brackets leave a choice, the bounds.
        """
        own = self._worst(self._upgrades()).head(most)
        lost = facts.losses(self.analysis, own)
        types = list(facts.by_type(lost).index)
        types += sorted(set(lost["data_type"]) - set(types))  # those of which every stream stayed away
        rows = {index: dict.fromkeys(types, "–") for index in own.index}
        for (index, name), part in lost.groupby(["outage", "data_type"]):
            back = part[~part["away"]]
            numbers = [int(back[column].sum()) for column in ("lost", "lost_low", "lost_high")]
            away = self._heading("away").format(n=len(part) - len(back)) if len(back) < len(part) else ""
            rows[index][name] = self._heading("unseen") if part["unseen"].all() else self._counted(*numbers) + away
        told = pd.DataFrame.from_dict(rows, orient="index", columns=types)
        return self._headed(pd.concat([self._outage_cells(own), told], axis=1))

    def others_table(self, most: int = 200) -> pd.DataFrame:
        """Give the outages that were not upgrades with their evidence, those that go on and the longest first.

        Parameters
        ----------
        most : int
            How many rows at most.

        Returns
        -------
        pandas.DataFrame
        """
        own = self._worst(self._others()).head(most)
        table = self._outage_cells(own).assign(evidence=self._evidence(own))
        table.insert(1, "cause", own["cause"].map(self._cause))
        return self._headed(table)

    def _evidence(self, outages):
        told = rendered(outages, self.analysis.evidence, self.language, self.timezone)
        return pd.Series([visible("; ".join(one), 2000) for one in told], index=outages.index, dtype="str")

    def together_table(self, most: int = 100) -> pd.DataFrame:
        """Give the stretches in which machines of one group were blind at once.

        Parameters
        ----------
        most : int
            How many rows at most.

        Returns
        -------
        pandas.DataFrame
            Whole groups first, then the longest certain overlap.
        """
        found = self._together.head(most)
        headings = texts(self.language)["headings"]
        rows = [
            (self._listed(self._labels_of(row)), self._group(row), headings[row["kind"]], self._moment(row["start"]),
             (headings["of"] if row["at_once"] == row["at_once_high"] else headings["of range"]).format(
                 n=row["at_once"], high=row["at_once_high"], all=row["members"]),
             self._duration(row["certain_s"]), self._duration(row["possible_s"]))
            for _, row in found.iterrows()
        ]  # fmt: skip
        columns = ["machines", "group", "kind of group", "began", "at_once", "certain", "possible"]
        table = pd.DataFrame(rows, columns=columns).rename(columns=headings).set_index(headings["machines"])
        return table.rename_axis(index=None).rename_axis(columns=headings["machines"])

    def alerts_table(self, windows: Iterable[int] = alert_coverage.WINDOWS, frequency: float = 1) -> pd.DataFrame:
        """Give for each alert and each availability figure how many outages it would have noticed.

        Parameters
        ----------
        windows : iterable of int
            In minutes.
        frequency : float
            Minutes between evaluations.

        Returns
        -------
        pandas.DataFrame
        """
        headings = texts(self.language)["headings"]
        silent, found = self._noticed(windows, frequency)
        upgrade = silent["cause"] == Cause.UPGRADE
        names = [headings["alert"].format(n=c.split()[1]) if c.startswith("alert ") else headings[c] for c in found]
        columns = {
            headings[who] + headings[verdict]: [int((found.loc[rows, name] == verdict).sum()) for name in found]
            for who, rows in (("upgrades", upgrade), ("others", ~upgrade)) for verdict in ("fires", "depends", "misses")
        }  # fmt: skip
        table = pd.DataFrame(columns, index=names)
        return table.rename_axis(columns=headings["method"])

    # -- facts --------------------------------------------------------------------------------------------

    def _upgrades(self):
        return self.analysis.outages[self.analysis.outages["cause"] == Cause.UPGRADE]

    def _others(self):
        return self.analysis.outages[self.analysis.outages["cause"] != Cause.UPGRADE]

    def _worst(self, outages):
        order = outages.assign(first=~outages["ongoing"].astype("bool"))
        order = order.sort_values(
            ["first", "downtime_s", "start_earliest"], ascending=[True, False, True], kind="stable"
        )
        return order.drop(columns="first")

    def _outage_cells(self, outages):
        """Give what every table of outages tells: machine, versions, when, and for how long with bounds."""
        same = outages["from_version"] == outages["to_version"]
        pair = outages["from_version"] + " → " + outages["to_version"].replace("", "–")
        pair = outages["from_version"].where(same, pair).map(lambda text: visible(text, 80))
        cells = {
            "computer": self._labels(outages), "pair": pair,
            "began": outages["start_earliest"].map(self._moment),
            "downtime": pd.Series([self._clocked(row) for _, row in outages.iterrows()], outages.index, dtype="object"),
        }  # fmt: skip
        return pd.DataFrame(cells, index=outages.index)

    def _still(self):
        """Say who is not back, and which streams stayed away from an agent that is."""
        outages = self.analysis.outages
        ongoing = outages["ongoing"].astype("bool")
        gone = outages[ongoing].drop_duplicates(MACHINE)
        parts = [self._sentence("still none", horizon=self._horizon())]
        if len(gone):
            parts = [self._sentence("still", horizon=self._horizon(), names=self._names(gone))]
        parts += [self._away()] if len(facts.away(self.analysis)) else []
        return self._join(parts)

    def _away(self):
        """Say which streams stayed away although their agent came back."""
        away = facts.away(self.analysis)
        stream = (away["data_type"] + " " + away["stream"].str.rstrip(" \\")).str.strip()
        stream = stream.map(lambda text: plain(text, 120))
        told = [self._text("stream of", stream=s, name=plain(name))
                for s, name in zip(stream, self._labels(away), strict=True)]  # fmt: skip
        lost = self._count(int(away["lost"].sum()), "sample")
        return self._sentence("partial", streams=self._count(len(away), "stream"), lost=lost, names=self._listed(told))

    @functools.cached_property
    def _together(self):
        horizon = pd.Timestamp(self.analysis.run["horizon"])
        return alert_coverage.together(self.analysis.outages, self.analysis.machines, horizon)

    def _labels_of(self, stretch):
        return sorted(set(self._labels(self.analysis.outages.loc[list(stretch["rows"])])))

    def _members(self, stretch):
        return self._names(self.analysis.outages.loc[list(stretch["rows"])].drop_duplicates(MACHINE))

    def _group(self, stretch):
        return visible(stretch["group"].rsplit("/", 1)[-1], 80)

    def _noticed(self, windows, frequency):
        horizon = pd.Timestamp(self.analysis.run["horizon"])
        silent = alert_coverage.silences(self.analysis.outages, self.analysis.gaps, horizon)
        return silent, alert_coverage.verdicts(silent, horizon, windows, frequency)

    # -- words --------------------------------------------------------------------------------------------

    def _machines(self, frame):
        return self._count(len(frame), "machine")

    def _names(self, frame, most=8):
        names = sorted(self._labels(frame))
        text = ", ".join(plain(name) for name in names[:most])
        return text if len(names) <= most else self._text("and more", names=text, n=len(names) - most)

    def _labels(self, frame):
        """Name machines as the whole fleet needs it, also where only one of two twins is in the frame."""
        names = [self._called[machine] for machine in frame[MACHINE].itertuples(index=False, name=None)]
        return pd.Series(names, index=frame.index, dtype="str", name="label")

    @functools.cached_property
    def _called(self):
        fleet = self.analysis.machines
        names = [visible(name, 80) for name in machine_labels(fleet)]
        return dict(zip(fleet[MACHINE].itertuples(index=False, name=None), names, strict=True))

    def _horizon(self):
        return self._time(pd.Timestamp(self.analysis.run["horizon"]))

    def _bounded(self, outage):
        """Tell a downtime with its bounds; of a range of seconds the unit is told each time."""
        if pd.isna(outage["downtime_s"]):
            return self._heading("unended")
        ends = [self._duration(outage[f"downtime_{end}s"]) for end in ("", "low_", "high_")]
        if len(set(ends)) == 1:
            return ends[0]
        return self._text("bounded", value=ends[0], low=ends[1], high=ends[2])

    def _clocked(self, outage):
        """Tell a downtime in minutes and seconds, as narrow as a table needs it."""
        if pd.isna(outage["downtime_s"]):
            return self._heading("unended")
        seconds = [round(outage[f"downtime_{end}s"]) for end in ("", "low_", "high_")]
        value, low, high = (f"{s // 60}:{s % 60:02}" for s in seconds)
        return self._text("bounded count", value=value, low=low, high=high)

    def _headed(self, table):
        headings = texts(self.language)["headings"]
        table = table.set_index("computer").rename(columns=headings).rename_axis(index=None)
        return table.rename_axis(columns=headings["computer"])  # one line of headings, not two
