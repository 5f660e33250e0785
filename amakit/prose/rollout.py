"""The rollout page: the sentences and tables that say how far a fleet has followed its releases, and who has not."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amakit.find.versions import version_key
from amakit.prose.incident import Writeup
from amakit.prose.language import plain, visible
from amakit.schemas import MACHINE
from amakit.study import excess_gaps, lags, stragglers, survival
from amakit.study import releases as known_releases

#: "Several weeks", as the documentation bounds it: a rollout takes eight weeks at most.
SEVERAL_WEEKS = 56
#: A chance smaller than this is taken for none.
_CERTAIN = 0.01
_ORIGINS = ("fleet", "group", "release")


@dataclass(frozen=True)
class Progress(Writeup):
    """Says how a fleet follows its releases.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
    releases : pandas.DataFrame, optional
        As `amakit.study.releases.known` gives it, which is the default.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")
    >>> Progress(found).spread()
    'No version came into this fleet during the window.'
    """

    releases: pd.DataFrame = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.releases is None:
            object.__setattr__(self, "releases", known_releases.known())

    def standing(self) -> str:
        """Say how many machines have the newest release, and how far the others are behind."""
        told = self._standing[self._standing["behind"].notna()]
        unread = len(self._standing) - len(told)
        if told.empty:
            return self._sentence("standing none")
        late, left = told[told["behind"] > 0], self._stragglers
        key = "standing left none" if left.empty else "standing left one" if len(left) == 1 else "standing left"
        rest = self._sentence(key, machines=self._machines(left))
        if unread:
            rest = self._join([rest, self._sentence("standing unread", machines=self._count(unread, "machine"))])
        if late.empty:
            return self._sentence("standing newest", machines=self._count(len(told), "placed"), left=rest)
        return self._sentence(
            "standing", machines=self._machines(told), newest=self._count(len(told) - len(late), "current"), left=rest,
            behind=self._count(len(late), "late"), most=self._count(int(late["behind"].max()), "release"),
        )  # fmt: skip

    def spread(self) -> str:
        """Say how fast the version with the most followers spread, and in how many batches, for each product line."""
        table = self._summary("fleet")
        table = table[table["upgraded"] > 1].sort_values("upgraded", ascending=False, kind="stable")
        table = table.drop_duplicates("os_type").sort_values("os_type")
        batches, parts = lags.batches(self._lags("fleet")), []
        for row in table.itertuples():
            own = batches[(batches["os_type"] == row.os_type) & (batches["version"] == row.version)]
            most = own.loc[own["machines"].idxmax()]
            machines = self._number(row.machines)
            parts += [
                self._sentence(
                    "spread", os=plain(row.os_type), version=plain(row.version), half=self._reached(row, "median"),
                    ninety=self._reached(row, "ninety"), upgraded=self._number(row.upgraded), machines=machines,
                ),
                self._sentence("spread more", batches=self._count(len(own), "batch"), machines=machines,
                               most=self._number(int(most["machines"])), start=self._time(most["start"])),
            ]  # fmt: skip
        rest = self._summary("start")
        rest = rest[~rest["os_type"].isin(table["os_type"])].sort_values("upgraded", ascending=False, kind="stable")
        parts += [
            self._sentence(
                "spread share", os=plain(row.os_type), version=plain(row.version), before=self._number(row.before),
                after=self._number(row.before + row.upgraded), machines=self._count(row.machines, "machine"),
            )
            for row in rest.drop_duplicates("os_type").sort_values("os_type").itertuples()
        ]  # fmt: skip
        return self._join(parts or [self._sentence("spread none")])

    def claim(self) -> str:
        """Say where the fleet stands against the claim that upgrades come several weeks after a release."""
        table = self._summary("release")
        table = table[(table["machines"] > 0) & (table["upgraded"] > 1)]
        lines = []
        for row in table.itertuples():
            verdict = "open"
            if row.median_low > SEVERAL_WEEKS:
                verdict = "later"
            elif row.median_high <= SEVERAL_WEEKS:
                verdict = "within"
            lines.append(self._sentence(
                "claim line", os=plain(row.os_type), version=plain(row.version), days=self._span_of(row, "median"),
                verdict=self._text(f"claim {verdict}"),
            ))  # fmt: skip
        return self._sentence("claim", lines=self._join(lines)) if lines else self._sentence("claim none")

    def arrived(self) -> str:
        """Say how many releases of the last year this fleet has seen."""
        horizon = pd.Timestamp(self.analysis.run["horizon"])
        known, runs = self.releases, self.analysis.runs
        recent = known[known["os_type"].isin(set(self.analysis.machines["os_type"]))
                       & (known["released_latest"] > horizon - stragglers.SUPPORTED)
                       & (known["released_earliest"] < horizon)]  # fmt: skip
        if recent.empty:
            return self._sentence("arrivals none", horizon=self._horizon())
        here = {(os, version_key(version)) for os, version in runs[["os_type", "version"]].itertuples(index=False)}
        seen = sum((os, version_key(version)) in here
                   for os, version in recent[["os_type", "version"]].itertuples(index=False))  # fmt: skip
        return self._sentence("arrivals", versions=self._count(len(recent), "version"), seen=self._number(seen),
                              horizon=self._horizon())  # fmt: skip

    def left(self) -> str:
        """Say how many machines are left behind, and why."""
        found, parts = self._stragglers, [self._sentence("left behind none")]
        if len(found):
            counts = found["reasons"].str[0].value_counts()
            some = self._and(self._some("left", {r: int(counts.get(r, 0)) for r in stragglers.REASONS}))
            key = "left behind one" if len(found) == 1 else "left behind"
            parts = [self._sentence(key, machines=self._machines(found), some=some)]
        started = stragglers.after_start(self.analysis).drop_duplicates(MACHINE)
        if len(started):
            key = "left started" if len(started) == 1 else "left started many"
            parts.append(self._sentence(key, machines=self._machines(started)))
        return self._join(parts)

    def effect(self) -> str:
        """Say whether upgrades caused gaps: how many show one, and how many would by chance."""
        told = excess_gaps.self_controlled(self.analysis)
        if not told["upgrades"]:
            return self._sentence("effect nothing")
        placebo, beside = self._text("effect placebo none"), self._text("effect beside none")
        if told["placebo"]:
            shares = [100 * one["gaps"] / one["upgrades"] for one in told["placebo"].values()]
            key = "effect placebo" if round(min(shares)) < round(max(shares)) else "effect placebo same"
            placebo = self._text(key, days=self._count(max(map(abs, told["placebo"])), "day"),
                                 least=f"{min(shares):.0f}", most=f"{max(shares):.0f}")  # fmt: skip
        if told["beside"] is not None:
            beside = self._text("effect beside", beside=f"{told['beside']:.1f}")
        chance = told["p_value"]
        certain = chance < _CERTAIN and told["gaps"] > told["expected"]
        return self._sentence(
            "effect", gaps=self._number(told["gaps"]), upgrades=self._count(told["upgrades"], "upgrade"),
            expected=f"{told['expected']:.1f}", placebo=placebo, beside=beside,
            p=self._text("less than", n=self._number(1000)) if chance < 0.001
            else self._text("about", share=f"{100 * chance:.1f}"),
            verdict=self._text("effect certain" if certain else "effect none"),
        )  # fmt: skip

    def rollout_limits(self) -> str:
        """Say what cannot be shown of a rollout, one line each."""
        keys = ["limit origin", "limit release", "limit place", "limit stopped", "limit batches", "limit first",
                "limit reasons"]  # fmt: skip
        unknown = [self._sentence("limit unknown", **{name: plain(str(one[name]))
                                                      for name in ("start", "end", "table", "reason")})
                   for one in self.analysis.run.get("unknown", [])]  # fmt: skip
        lines = [*map(self._sentence, keys), *unknown, self._sentence("limit horizon", horizon=self._horizon())]
        return "\n".join(f"- {line}" for line in lines)

    def lags_table(self) -> pd.DataFrame:
        """Give the lags of each version from each origin.

        Returns
        -------
        pandas.DataFrame
            Machines that take part, had upgraded, had it before, have not yet; of these never changed; went back again;
            left out; and the lags by which half and nine in ten had upgraded, with their intervals.
        """
        rows = []
        for origin in _ORIGINS:
            for row in self._summary(origin).itertuples():
                if row.machines and row.upgraded > 1:
                    rows.append({"pair": visible(f"{row.os_type} {row.version}", 80),
                                 "origin": self._heading(f"origin {origin}"), **self._lag_cells(row)})  # fmt: skip
        rows.sort(key=lambda row: row["pair"])
        return self._table(rows, ["pair", "origin", *_CELLS])

    def places_table(self) -> pd.DataFrame:
        """Give the lags from the first sighting in the fleet by place and kind of machine, for the same versions.

        Returns
        -------
        pandas.DataFrame
        """
        table = survival.summary(self._lags("fleet"), ["place", "resource_type"], draws=100)
        often = self._summary("fleet")
        often = {(row.os_type, row.version) for row in often.itertuples() if row.upgraded > 1}
        rows = [
            {"pair": visible(f"{row.os_type} {row.version}", 80), "place": self._place(row.place),
             "kind of machine": self._heading(row.resource_type), **self._lag_cells(row)}
            for row in table.itertuples() if row.machines and (row.os_type, row.version) in often
        ]  # fmt: skip
        return self._table(rows, ["pair", "place", "kind of machine", *_CELLS])

    def state_table(self) -> pd.DataFrame:
        """Give the state of the fleet by system, place and kind of machine.

        Returns
        -------
        pandas.DataFrame
        """
        rows = []
        for (os_type, place, kind), own in self._standing.groupby(["os_type", "place", "resource_type"]):
            late = own["behind"].max()
            rows.append({
                "os_type": visible(os_type, 40), "place": self._place(place), "kind of machine": self._heading(kind),
                "machines": len(own), "on newest": int((own["behind"] == 0).sum()),
                "silent": int((own["state"] == "silent").sum()),
                "releases behind": "–" if np.isnan(late) else self._number(int(late)),
                "newest": visible(own["newest"].iloc[0], 40),
            })  # fmt: skip
        return self._table(rows, ["os_type", "place", "kind of machine", "machines", "on newest", "silent",
                                  "releases behind", "newest"])  # fmt: skip

    def batches_table(self) -> pd.DataFrame:
        """Give the batches in which versions came.

        Returns
        -------
        pandas.DataFrame
        """
        found = lags.batches(self._lags("start"))
        rows = [
            {"pair": visible(f"{row.os_type} {row.version}", 80), "when": self._time(row.start),
             "until": self._time(row.end), "machines": row.machines, "share": f"{100 * row.share:.0f} %"}
            for row in found.itertuples()
        ]  # fmt: skip
        return self._table(rows, ["pair", "when", "until", "machines", "share"])

    def stragglers_table(self, most: int = 500) -> pd.DataFrame:
        """Give the machines that are left behind, why, and what to do, those furthest behind first.

        Parameters
        ----------
        most : int

        Returns
        -------
        pandas.DataFrame
        """
        found = self._stragglers.head(most)
        rows = []
        for name, row in zip(self._labels(found), found.itertuples(), strict=True):
            tries = "–"
            if row.attempts:
                tries = self._number(row.attempts)
                if pd.notna(row.spacing_s):
                    tries = self._heading("apart").format(n=tries, spacing=self._duration(row.spacing_s))
            rows.append({
                "computer": name, "pair": visible(f"{row.os_type} {row.version}", 80),
                "releases behind": "–" if np.isnan(row.behind) else self._number(int(row.behind)),
                "age": "–" if np.isnan(row.age) else self._number(round(row.age)),
                "reasons": "; ".join(map(self._heading, row.reasons)), "tries": tries,
                "step": self._join([self._text(f"step {reason}") for reason in _steps(row.reasons)]),
            })  # fmt: skip
        return self._table(rows, ["computer", "pair", "releases behind", "age", "reasons", "tries", "step"])

    # -- parts ----------------------------------------------------------------------------------------------

    @functools.cached_property
    def _standing(self):
        return stragglers.standing(self.analysis, self.releases)

    @functools.cached_property
    def _stragglers(self):
        return stragglers.stragglers(self.analysis, self.releases)

    @functools.cached_property
    def _known(self):
        return {}

    def _lags(self, origin):
        if origin not in self._known:
            self._known[origin] = lags.lags(self.analysis, self.releases, origin)
        return self._known[origin]

    def _summary(self, origin):
        key = ("summary", origin)
        if key not in self._known:
            self._known[key] = survival.summary(self._lags(origin))
        return self._known[key]

    def _lag_cells(self, row):
        counts = (row.machines, row.upgraded, row.before, row.waiting, row.never_changed, row.undone, row.left_out)
        spans = (self._days_of(row, "median"), self._days_of(row, "ninety"))
        return dict(zip(_CELLS, [*counts, *spans], strict=True))

    def _days_of(self, row, name):
        """Tell days with their bounds, as narrow as a table needs it."""
        value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
        shown = [f"{v:.1f}" if np.isfinite(v) else "∞" if v > 0 else "…" for v in (value, low, high)]
        return shown[0] if len(set(shown)) == 1 else self._text("bounded count", value=shown[0], low=shown[1],
                                                                high=shown[2])  # fmt: skip

    def _reached(self, row, name):
        """Say within which time a share was reached, or that it was not."""
        there = np.isfinite(getattr(row, name))
        return self._text("within" if there else "not yet", days=self._span_of(row, name))

    def _span_of(self, row, name):
        """Tell days with their bounds in a sentence."""
        value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
        told = {"days": self._days(value), "low": _short(low), "high": _short(high)}
        if not np.isfinite(value):
            return self._text("days never", low=self._days(low)) if np.isfinite(low) else self._text("days unknown")
        if np.isneginf(low):
            return self._text("at most", days=self._days(high if np.isfinite(high) else value))
        return self._text("days range" if np.isfinite(high) else "days open", **told)

    def _days(self, days):
        return self._count(1, "day") if _short(days) == "1" else self._count(2, "day").replace("2", _short(days))

    def _place(self, place):
        return visible(place.rsplit("/", 1)[-1], 80) if place else self._heading("nowhere")


def _short(days):
    return f"{days:.1f}".removesuffix(".0")


_CELLS = ["machines", "reached", "before", "still waiting", "never", "undone", "left out", "median", "ninety"]


def _steps(reasons):
    """Give the reasons whose next steps are worth telling: the first, and what is urgent by itself."""
    first, *others = reasons
    urgent = [reason for reason in others if reason in ("known_bad", "unsupported")]
    return urgent if first == "waiting" and urgent else [first, *urgent]
