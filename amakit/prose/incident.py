"""The incident write-up: the sentences and tables of the page that answers for a window."""

import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from amakit.prose import facts
from amakit.prose.language import plain, visible
from amakit.prose.narrative import Narrator
from amakit.schemas import MACHINE, Cause

if TYPE_CHECKING:
    from amakit.analysis import Analysis

_VERDICTS = ("recovered", "none_expected", "undetermined", "possible_loss")
#: Rows of a table on the page; the worst come first, and all are in the result tables.
_MOST = 500
#: Characters of a query on the page; all of them are in ``run.json``.
_LONGEST = 4_000


@dataclass(frozen=True)
class Writeup(Narrator):
    """Says what a window did to the logs, as an incident needs it.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told; UTC stands beside them where it is another one.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> Writeup(found).attempts().split(",")[0]
    'No upgrade failed between 2026-03-02 00:00 and 2026-03-02 01:00'
    """

    def facts(self) -> dict:
        """Give all facts, with the verdict as a sentence; see `amakit.prose.facts.facts`.

        Returns
        -------
        dict
            As `amakit.prose.facts.facts`, and sentence, language, timezone.
        """
        said = html.unescape(re.sub(r"\\([^\w\s]|_)", r"\1", self.verdict().replace("**", "")))
        known = facts.facts(self.analysis)
        head = {"schema": known["schema"], "sentence": said, "language": self.language, "timezone": self.timezone}
        return head | known

    def verdict(self) -> str:
        """Say in two sentences what happened, to how many, how long, what it cost, and whether all is well again."""
        told = facts.verdict(self.analysis)
        start, end = self._span()
        known = {
            "machines": self._machines(self.analysis.machines), "start": start, "end": end, "zone": self.timezone,
            "still": self._back(told),
        }  # fmt: skip
        if not told["touched"]:
            return self._sentence("verdict none", instead=self._begun(self._instead()), **known)
        numbers = (told["upgrades"], told["rolled_back"], told["rollback_failed"])
        what = [self._count(n, kind) for n, kind in zip(numbers, facts.ATTEMPTS, strict=True) if n]
        return self._sentence(
            "verdict", what=self._and(what), touched=self._number(told["touched"]), blind=self._blind(told),
            lost=self._cost(told), events=self._begun(self._complete(told)), **known,
        )  # fmt: skip

    def timeline(self) -> str:
        """Say what the chart of outages shows."""
        away = self.analysis.outages
        start, end = self._span()
        if away.empty:
            return self._sentence("timeline none", start=start, end=end)
        longest = facts.blind(away)["longest"]
        known = {"outages": self._count(len(away), "outage"), "causes": self._causes(away),
                 "machines": self._machines(away.drop_duplicates(MACHINE))}  # fmt: skip
        if longest is None:
            return self._sentence("timeline open", **known)
        said = [self._sentence("timeline", longest=self._bounded(away.loc[longest]), name=self._name(away, longest),
                               **known)]  # fmt: skip
        if len(away.drop_duplicates(MACHINE)) > facts.DRAWN:
            said.append(self._sentence("timeline some", n=facts.DRAWN))
        return self._join(said)

    def timeline_table(self, most: int = _MOST) -> pd.DataFrame:
        """Give the outages in the order of time; where there are too many, the worst of them.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
            When each began (in the zone and, where that is another, in UTC), when the agent was back, why it was away,
            the versions, for how long with bounds, and the samples lost over all streams.
        """
        own = self._worst(self.analysis.outages).head(most).sort_values("start_earliest", kind="stable")
        cells = self._outage_cells(own)
        lost = facts.losses(self.analysis, own)
        lost = lost[~lost["away"]].groupby("outage")[["lost", "lost_low", "lost_high"]].sum()
        lost = lost.reindex(own.index, fill_value=0)
        table = pd.DataFrame({"computer": cells["computer"], "when": cells["began"]}, index=own.index)
        if self.timezone != "UTC":
            table["when utc"] = own["start_earliest"].map(lambda when: f"{when:%Y-%m-%d %H:%M:%S}")
        back = own["end_latest"].map(self._moment, na_action="ignore").astype("object")
        table = table.assign(**{
            "back at": back.where(own["end_latest"].notna(), self._heading("unended")),
            "cause": own["cause"].map(self._cause), "pair": cells["pair"], "downtime": cells["downtime"],
            "lost": [self._counted(*map(int, row)) for row in lost.to_numpy()],
        })  # fmt: skip
        return self._headed(table).rename(columns=lambda name: name.format(zone=self.timezone))

    def periodic(self) -> str:
        """Say what upgrades and failed attempts cost the streams that sample on a clock."""
        own, others = self._by_attempt()
        told, beside = facts.summary(self.analysis, own), facts.summary(self.analysis, others)
        parts = [self._sentence("periodic none")]
        if len(own):
            some = self._some("periodic", {key: told[key] for key in ("certain", "perhaps", "spared")})
            parts = [self._sentence("periodic", outages=self._count(len(own), "outage"), some=self._and(some))]
        total = _total(beside)
        if total[2]:
            parts.append(self._sentence("periodic other", lost=self._samples(*total), types=self._types(beside)))
        unseen = sorted(set(told["unseen"]) | set(beside["unseen"]))
        unseen = [name for name in unseen if name not in {**told["lost"], **beside["lost"]}]
        if unseen:
            parts.append(self._sentence("unseen", types=self._and([plain(name, 80) for name in unseen])))
        parts += [self._away()] if len(facts.away(self.analysis)) else []
        return self._join(parts)

    def periodic_table(self) -> pd.DataFrame:
        """Give for each data type how it is sampled and what was lost.

        Returns
        -------
        pandas.DataFrame
        """
        own, others = self._by_attempt()
        every = facts.by_type(facts.losses(self.analysis, self.analysis.outages))
        by_attempt, by_other = (facts.losses(self.analysis, part) for part in (own, others))
        rows = [
            {
                "data_type": visible(name, 80), "every": self._interval(row["interval_s"]),
                "attempts lost": self._lost_of(by_attempt, name), "others lost": self._lost_of(by_other, name),
                "hit": self._number(by_attempt.loc[(by_attempt["data_type"] == name) & ~by_attempt["away"]
                                                   & (by_attempt["lost_low"] > 0), "outage"].nunique()),
            }
            for name, row in every.iterrows()
        ]  # fmt: skip
        return self._table(rows, ["data_type", "every", "attempts lost", "others lost", "hit"])

    def event_rows(self) -> str:
        """Say what became of rows that an agent reads from logs."""
        own, _ = self._by_attempt()
        verdicts = facts.summary(self.analysis, own)["events"]
        if not verdicts:
            return self._join([self._sentence("event rows none"), self._sentence("changes not counted")])
        some = self._some("event rows", {name: verdicts.get(name, 0) for name in _VERDICTS})
        checks = self._count(sum(verdicts.values()), "check")
        return self._join([self._sentence("event rows", checks=checks, some=self._and(some)),
                           self._sentence("changes not counted")])  # fmt: skip

    def events_table(self) -> pd.DataFrame:
        """Give for each table of events how many outages by upgrades and failed attempts ended in which verdict.

        Returns
        -------
        pandas.DataFrame
        """
        own, _ = self._by_attempt()
        rows = []
        for name, part in facts.events(self.analysis, own).groupby("data_type"):
            delay, expected = part["max_delay_s"].max(), part["expected"].sum()
            rows.append(
                {"data_type": visible(name, 80), **{kind: self._number(int((part["verdict"] == kind).sum()))
                                                    for kind in _VERDICTS},
                 "rows_inside": self._number(int(part["rows_inside"].sum())), "expected": f"{expected:,.1f}",
                 "max_delay": "–" if pd.isna(delay) else self._duration(delay)}
            )  # fmt: skip
        return self._table(rows, ["data_type", *_VERDICTS, "rows_inside", "expected", "max_delay"])

    def doubts_table(self, most: int = _MOST) -> pd.DataFrame:
        """Give the pairs of outage and event table that may have lost rows, or cannot be decided.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
        """
        rows = facts.events(self.analysis, self.analysis.outages)
        rows = rows[rows["verdict"].isin(["possible_loss", "undetermined"])].sort_values(["verdict", "outage_start"])
        table = [
            {"computer": name, "when": self._moment(row.outage_start), "data_type": visible(row.data_type, 80),
             "verdict": self._heading(row.verdict), "rows_inside": self._number(int(row.rows_inside)),
             "expected": f"{row.expected:,.1f}"}
            for name, row in zip(self._labels(rows), rows.itertuples(), strict=True)
        ][:most]  # fmt: skip
        return self._table(table, ["computer", "when", "data_type", "verdict", "rows_inside", "expected"])

    def evidence(self) -> str:
        """Say on what the causes rest."""
        away = self.analysis.outages
        if away.empty:
            return self._sentence("evidence none")
        known = {"outages": self._count(len(away), "outage")}
        parts = [self._sentence("evidence no log")]
        if "AzureActivity" not in self.analysis.run["missing_tables"]:
            acts = len(set(self.analysis.activity["outage"])) if len(self.analysis.activity) else 0
            parts = [self._sentence("evidence", acts=self._number(acts), **known)]
        unexplained = int((away["cause"] == Cause.UNEXPLAINED).sum())
        if unexplained:
            parts.append(self._sentence("evidence unexplained", n=self._number(unexplained), **known))
        return self._join(parts)

    def evidence_table(self, most: int = _MOST) -> pd.DataFrame:
        """Give each outage with its cause and every statement that the cause rests on, the worst first.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
        """
        own = self._worst(self.analysis.outages).head(most)
        cells = self._outage_cells(own)
        table = cells[["computer"]].assign(
            cause=own["cause"].map(self._cause), pair=cells["pair"], when=cells["began"],
            evidence=self._evidence(own),
        )  # fmt: skip
        return self._headed(table).rename(columns=lambda name: name.format(zone=self.timezone))

    def activity_table(self, most: int = _MOST) -> pd.DataFrame:
        """Give the rows of the activity log that lie beside outages.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
        """
        acts = self.analysis.activity
        if acts.empty:
            return self._table([], ["computer", "when", "operation", "status", "caller", "correlation"])
        called = self._labels(self.analysis.outages)
        rows = [
            {"computer": called[act.outage], "when": self._moment(act.began),
             "operation": visible(act.operation.partition("/")[2] or act.operation, 200),  # without its provider
             "status": visible(act.status, 80), "caller": visible(act.caller, 200),
             "correlation": visible(act.correlation, 80)}
            for act in acts.sort_values(["began", "operation", "correlation", "outage"]).itertuples()
        ]  # fmt: skip
        rows = list({tuple(row.values()): row for row in rows}.values())[:most]  # one may lie beside two outages
        return self._table(rows, ["computer", "when", "operation", "status", "caller", "correlation"])

    def attempts(self) -> str:
        """Say which upgrades failed and what followed."""
        told = facts.attempts(self.analysis)
        if not told:
            start, end = self._span()
            return self._sentence("attempts none", start=start, end=end)
        last = {one["machine"]: one["outcome"] for one in told}
        outcomes = pd.Series(last).value_counts()
        counts = {cause: int(outcomes.get(cause, 0)) for cause in facts.ATTEMPTS}
        some = self._and(self._some("attempts", counts, horizon=self._horizon()))
        parts = [self._sentence("attempts", machines=self._count(len(last), "machine"), some=some)]
        waits = pd.Series([t["wait_s"] for one in told for t in one["attempts"] if t["wait_s"] is not None])
        if len(waits) == 1:
            parts.append(self._sentence("attempts waited", wait=self._duration(waits.iloc[0])))
        elif len(waits):
            parts.append(self._sentence(
                "attempts wait", median=self._duration(waits.quantile(0.5, interpolation="higher")),
                shortest=self._duration(waits.min()), longest=self._duration(waits.max()),
            ))  # fmt: skip
        return self._join(parts)

    def attempts_table(self, most: int = _MOST) -> pd.DataFrame:
        """Give each row of attempts.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
        """
        rows = []
        for one in facts.attempts(self.analysis)[:most]:
            tries = one["attempts"]
            starts = [pd.Timestamp(t["start"]) for t in tries]
            text = [self._text("again", cause=self._cause(t["cause"]), start=self._moment(start))
                    for t, start in zip(tries, starts, strict=True)]  # fmt: skip
            took = self._duration((starts[-1] - starts[0]).total_seconds()) if len(tries) > 1 else "–"
            rows.append({"computer": visible(one["machine"], 80), "series": " → ".join(text),
                         "outcome": self._cause(one["outcome"]), "took": took})  # fmt: skip
        return self._table(rows, ["computer", "series", "outcome", "took"])

    def unshown(self) -> str:
        """Say what cannot be shown, one line each."""

        def told(names):
            return ", ".join(plain(name, 80) for name in names)

        tell = {
            "brackets": lambda one: self._sentence("limit bounds"),
            "unknown": lambda one: self._sentence("limit unknown", **{
                name: plain(str(one[name])) for name in ("start", "end", "table", "reason")}),
            "tables": lambda one: self._sentence("limit tables", tables=told(one["tables"])),
            "slow": lambda one: self._sentence("limit slow", types=told(one["data_types"])),
            "hidden": lambda one: self._sentence("limit hidden", changes=self._count(one["n"], "change")),
            "undetermined": lambda one: self._sentence("limit undetermined", checks=self._count(one["n"], "check")),
            "unexplained": lambda one: self._sentence("limit unexplained", outages=self._count(one["n"], "outage")),
            "horizon": lambda one: self._sentence("limit horizon", horizon=self._horizon()),
            "lookback": lambda one: self._sentence("limit silent", days=one["days"]),
        }  # fmt: skip
        return "\n".join(f"- {tell[one['kind']](one)}" for one in facts.limits(self.analysis))

    def actions(self) -> str:
        """Say what to do next, the most urgent first."""
        lines = []
        for one in facts.actions(self.analysis):
            kind = one["kind"]
            if kind == "alert":
                key = "do alert" if one["safe"] is not None else "do alert unsafe"
                some = self._and(self._some("alert", {name: one[name] for name in ("fires", "depends")}))
                lines.append(self._sentence(key, some=some, window=one["window"], safe=one["safe"]))
            elif kind in ("nothing", "activity"):
                lines.append(self._sentence(f"do {kind}"))
            else:
                names = self._listed([plain(name, 80) for name in one["machines"]])
                lines.append(self._sentence(f"do {kind}", names=names))
            if kind == "support":
                lines.append("  - " + self._sentence("do attach", logs=self._and(self._logs(one["machines"]))))
        return "\n".join(line if line.startswith(" ") else f"- {line}" for line in lines)

    def made(self) -> str:
        """Say by what the page was made, and give the hash of what came in."""
        run = self.analysis.run
        total = {name: sum(query[name] for query in run["queries"]) for name in ("rows", "bytes", "seconds")}
        return self._sentence(
            "made", version=plain(run["amakit"]), workspace=plain(run["workspace"]),
            queries=self._count(len(run["queries"]), "query"), rows=self._count(total["rows"], "row"),
            bytes=self._count(total["bytes"], "byte"), seconds=f"{total['seconds']:.1f}", hash=run["inputs_sha256"],
        )  # fmt: skip

    def parameters_table(self) -> pd.DataFrame:
        """Give what was asked for, and with which versions it was answered.

        Returns
        -------
        pandas.DataFrame
        """
        run = self.analysis.run
        rows = {
            "workspace": run["workspace"], "window": f"{run['start']} – {run['end']}", "horizon": run["horizon"],
            "machines": ", ".join(run["machines"]) or self._heading("all machines"), "timezone": self.timezone,
            "language": self.language,
        }  # fmt: skip
        told = [{"parameter": self._heading(name), "value": visible(value, 2000)} for name, value in rows.items()]
        told += [{"parameter": self._heading("version of").format(name=name), "value": version}
                 for name, version in {"amakit": run["amakit"], **run["versions"]}.items()]  # fmt: skip
        return self._table(told, ["parameter", "value"])

    def queries_table(self) -> pd.DataFrame:
        """Give the size and the hash of each answer.

        Returns
        -------
        pandas.DataFrame
        """
        rows = [{"query": f"{n}. {visible(q['name'], 80)}", "rows": self._number(q["rows"]),
                 "bytes": self._number(q["bytes"]), "seconds": f"{q['seconds']:.3f}", "sha256": q["sha256"][:16]}
                for n, q in enumerate(self.analysis.run["queries"], start=1)]  # fmt: skip
        return self._table(rows, ["query", "rows", "bytes", "seconds", "sha256"])

    def queries(self) -> str:
        """Give every query as it was sent, folded away; a very long one is cut, and whole in ``run.json``."""
        parts = []
        for number, query in enumerate(self.analysis.run["queries"], start=1):
            text, more = query["text"][:_LONGEST], len(query["text"]) - _LONGEST
            text += f"\n{self._text('cut', n=self._number(more))}" if more > 0 else ""
            text = "\n".join(visible(line) if not line.isascii() else line for line in text.split("\n"))
            fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 3)
            name = html.escape(f"{number}. {visible(query['name'], 80)}")  # Markdown is not read inside of HTML
            parts.append(f"<details><summary>{name}</summary>\n\n{fence}kql\n{text}\n{fence}\n\n</details>")
        return "\n\n".join(parts)

    # -- parts --------------------------------------------------------------------------------------------

    def _span(self):
        return self._time(self.analysis.window.start), self._time(self.analysis.window.end)

    def _by_attempt(self):
        away = self.analysis.outages
        attempted = away["cause"].isin(facts.ATTEMPTS)
        return away[attempted], away[~attempted]

    def _name(self, frame, index):
        return plain(self._labels(frame.loc[[index]]).iloc[0])

    def _causes(self, outages):
        counts = outages["cause"].value_counts()
        order = [cause for cause in Cause if cause in counts]
        told = [self._text("cause of", cause=plain(self._cause(c)), n=self._number(int(counts[c]))) for c in order]
        return self._text("comma").join(told)

    def _blind(self, told):
        blind = told["blind"]
        if blind["longest"] is None:
            return self._text("blind open")
        longest = self._bounded(self.analysis.outages.loc[blind["longest"]])
        if blind["known"] == 1:
            return self._text("blind one", value=longest)
        key = "blind many" if told["touched"] > 1 else "blind again"
        ends = {name: self._duration(blind[f"{name}_s"]) for name in ("median", "low", "high")}
        return self._text(key, longest=longest, name=self._name(self.analysis.outages, blind["longest"]),
                          **ends)  # fmt: skip

    def _cost(self, told):
        lost, low, high = _total(told)
        if not high:
            return self._text("lost none")
        if not low:
            return self._text("lost perhaps", high=self._count(high, "samples"), types=self._types(told))
        key = "lost so far" if told["ongoing"] else "lost some"
        return self._text(key, lost=self._samples(lost, low, high), types=self._types(told))

    def _samples(self, lost, low, high):
        told = self._count(lost, "samples")
        if low == high:
            return told
        return self._text("bounded count", value=told, low=self._number(low), high=self._number(high))

    def _types(self, told):
        return self._and([plain(name, 80) for name, row in told["lost"].items() if row["lost_high"]])

    def _complete(self, told):
        verdicts = told["events"]
        loss, undecided = verdicts.get("possible_loss", 0), verdicts.get("undetermined", 0)
        known = {"checks": self._count(sum(verdicts.values()), "check"), "open": self._number(undecided),
                 "recovered": self._number(verdicts.get("recovered", 0)), "loss": self._number(loss)}  # fmt: skip
        if not verdicts:
            return self._text("complete nothing")
        if loss:
            own = facts.events(self.analysis, self._by_attempt()[0])
            own = own[own["verdict"] == "possible_loss"].drop_duplicates(MACHINE)
            key = "complete doubt open" if undecided else "complete doubt"
            return self._text(key, names=self._names(own), **known)
        if undecided:
            return self._text("complete open", **known)
        return self._text("complete" if verdicts.get("recovered") else "complete quiet", **known)

    def _back(self, told):
        still = self._text("back", horizon=self._horizon())
        if told["silent"]:
            names = self._listed([plain(one["machine"], 80) for one in told["silent"]])
            silent = self._count(len(told["silent"]), "silent")
            still = self._text("not back", silent=silent, horizon=self._horizon(), names=names)
        away = told["streams_away"]
        return self._text("away too", still=still, away=self._count(away, "away")) if away else still

    def _instead(self):
        away = self.analysis.outages
        if away.empty:
            return self._text("instead none")
        return self._text("instead", outages=self._count(len(away), "outage"), causes=self._causes(away),
                          machines=self._machines(away.drop_duplicates(MACHINE)))  # fmt: skip

    def _lost_of(self, lost, data_type):
        own = facts.by_type(lost[lost["data_type"] == data_type])
        if own.empty:
            return "–"
        row = own.iloc[0]
        if row["unseen"]:
            return self._heading("unseen")
        return self._counted(int(row["lost"]), int(row["lost_low"]), int(row["lost_high"]))

    def _interval(self, seconds):
        if pd.isna(seconds):
            return "–"
        return self._count(round(seconds / 3600), "hour") if seconds >= 3600 else self._duration(seconds)

    def _logs(self, machines):
        """Say which logs to attach, for the systems concerned."""
        fleet = self.analysis.machines
        called = pd.Series(facts.names(self.analysis), dtype="str")
        own = fleet[called.reindex(list(fleet[MACHINE].itertuples(index=False, name=None))).isin(machines).to_numpy()]
        logs = [f"logs {os}" for os in ("Windows", "Linux") if (own["os_type"] == os).any()]
        logs += ["logs Arc"] if own["resource_id"].str.contains("/microsoft.hybridcompute/", regex=False).any() else []
        return [self._text(key) for key in logs or ["logs Windows", "logs Linux"]]

    def _table(self, rows, columns):
        table = pd.DataFrame(rows, columns=columns)
        headings = {name: self._heading(name).format(zone=self.timezone) for name in columns}
        first, *_ = columns
        return table.rename(columns=headings).set_index(headings[first]).rename_axis(index=None).rename_axis(
            columns=headings[first])  # fmt: skip


def document(analysis: "Analysis", language: str = "en", timezone: str = "UTC") -> str:
    """Give all facts as the text of ``facts.json``.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
        Of the sentence in it.
    timezone : str
        Zone of the sentence; every other time is in UTC.

    Returns
    -------
    str
        JSON in ASCII, so that nothing in it is unseen.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> json.loads(document(found))["schema"]
    'amakit.facts/1'
    """
    return json.dumps(Writeup(analysis, language, timezone).facts(), indent=1, allow_nan=False) + "\n"


def _total(told):
    return [sum(row[name] for row in told["lost"].values()) for name in ("lost", "lost_low", "lost_high")]
