"""From frames to facts to sentences, in English and Japanese.

Every number in a sentence is computed here from the tables, never typed.  Names come from machines and may
hold anything, so each passes `plain` on its way into Markdown.
"""

import html
import re
from dataclasses import dataclass

import pandas as pd

from amakit.analysis import Analysis, machine_labels
from amakit.errors import UsageError
from amakit.transitions import rolled_back

LANGUAGES = ("en", "ja")

#: Counted things: singular, plural, none.
_COUNTED = {
    "en": {
        "machine": ("{n} machine", "{n} machines", "no machine"),
        "heartbeat": ("{n} heartbeat", "{n} heartbeats", "no heartbeats"),
        "version": ("{n} version", "{n} versions", "no version"),
        "upgrade": ("{n} upgrade", "{n} upgrades", "no upgrade"),
        "downgrade": ("{n} downgrade", "{n} downgrades", "no downgrade"),
        "change": ("{n} change", "{n} changes", "no change"),
        "query": ("{n} query", "{n} queries", "no query"),
        "row": ("{n} row", "{n} rows", "no rows"),
    },
    "ja": {
        "machine": ("{n} 台",) * 3,
        "heartbeat": ("ハートビート {n} 件",) * 3,
        "version": ("{n} 種類のバージョン",) * 3,
        "upgrade": ("アップグレード {n} 件",) * 3,
        "downgrade": ("ダウングレード {n} 件",) * 3,
        "change": ("{n} 回の変更",) * 3,
        "query": ("クエリ {n} 件",) * 3,
        "row": ("{n} 行",) * 3,
    },
}

_TEXT = {
    "en": {
        "synthetic": "**Synthetic data.** This fleet was made by `amakit demo`; no machine in it exists.",
        "data": "{heartbeats} of {machines} from {start} to {end} ({zone}). Data may be taken as complete up to "
                "{horizon}.",
        "inventory": "{reporting} of {machines} still reported at {horizon}, on {versions}; the most common is "
                     "{common} with {most}.",
        "inventory none": "None of {machines} still reported at {horizon}.",
        "silent": "{machines} had fallen silent: {names}.",
        "changes": "{upgrades} and {downgrades} on {machines}. A change lies between the last heartbeat of the old "
                   "version and the first of the new one; half of these brackets are {median} or shorter, the widest "
                   "is {widest} on {name}.",
        "changes none": "No machine changed its version between {start} and {end}.",
        "timing": "The busiest hour was {day} {hour}:00–{hour}:59 ({zone}) with {most} of {upgrades}. {outside} of "
                  "{upgrades} ({share} %) fell outside Monday to Friday, 08:00 to 17:59.",
        "timing none": "There was no upgrade whose time could be shown.",
        "undone": "{machines} went back to a version that it had left, which is what a failed upgrade looks like: "
                  "{names}.",
        "undone many": "{machines} went back to a version that they had left, which is what a failed upgrade looks "
                       "like: {names}.",
        "undone none": "No machine went back to a version that it had left.",
        "flapping": "{machines} changed three times or more: {names}.",
        "limit brackets": "The moment of a change was not seen, only the heartbeats around it.",
        "limit horizon": "Nothing younger than {horizon} is judged: rows may still arrive.",
        "limit attempts": "An upgrade that failed before the new version sent a heartbeat leaves no trace in versions; "
                          "from Heartbeat alone it looks like a gap.",
        "limit tables": "The workspace has no {tables}, so nothing here rests on what the control plane did.",
        "limit silent": "A machine that never sent a heartbeat in the window or in the {days} days before it is not "
                        "listed.",
        "record": "Made by amakit {version} on {workspace}: {queries}, {rows} fetched in {seconds} s.",
        "and more": "{names} and {n} more",
        "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "h": "{h} h {m} min", "m": "{m} min {s} s", "s": "{s} s", "d": "{d} d {h} h",
    },
    "ja": {
        "synthetic": "**合成データです。** このマシン群は `amakit demo` が生成したもので、実在しません。",
        "data": "{start} から {end} まで（{zone}）の {machines}、{heartbeats}。{horizon} までのデータは揃っているものとして"
                "扱います。",
        "inventory": "{machines}のうち {reporting}が {horizon} の時点で報告を続けており、{versions}が使われています。最も多いのは "
                     "{common}（{most}）です。",
        "inventory none": "{machines}のうち、{horizon} の時点で報告を続けているマシンはありません。",
        "silent": "{machines}が沈黙しています: {names}。",
        "changes": "{machines}で{upgrades}、{downgrades}がありました。変更は、旧版の最後のハートビートと新版の最初のハートビートの"
                   "間に起きています。この区間の半数は {median} 以下、最も広いのは {name} の {widest} です。",
        "changes none": "{start} から {end} までの間、バージョンが変わったマシンはありません。",
        "timing": "最も多い時間帯は{day} {hour}:00–{hour}:59（{zone}）で、{upgrades}のうち {most} 件でした。月曜から金曜の 08:00–17:59 "
                  "以外に起きたものは {outside} 件（{share} %）です。",
        "timing none": "時刻を示せるアップグレードはありません。",
        "undone": "{machines}が一度離れたバージョンに戻りました。アップグレードの失敗はこのように見えます: {names}。",
        "undone many": "{machines}が一度離れたバージョンに戻りました。アップグレードの失敗はこのように見えます: {names}。",
        "undone none": "一度離れたバージョンに戻ったマシンはありません。",
        "flapping": "{machines}で 3 回以上バージョンが変わりました: {names}。",
        "limit brackets": "変更の瞬間そのものは観測できず、前後のハートビートだけが分かります。",
        "limit horizon": "{horizon} より新しいデータは、まだ届く可能性があるため判断していません。",
        "limit attempts": "新版のハートビートが届く前に失敗したアップグレードはバージョンに痕跡を残さず、Heartbeat だけでは"
                          "単なる欠落に見えます。",
        "limit tables": "ワークスペースに {tables} がないため、コントロールプレーンの操作は根拠に含まれません。",
        "limit silent": "期間中およびその前の {days} 日間に一度もハートビートを送っていないマシンは一覧に現れません。",
        "record": "amakit {version}、ワークスペース {workspace}: {queries}、{rows}を {seconds} 秒で取得。",
        "and more": "{names} ほか {n} 台",
        "days": "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
        "h": "{h} 時間 {m} 分", "m": "{m} 分 {s} 秒", "s": "{s} 秒", "d": "{d} 日 {h} 時間",
    },
}  # fmt: skip

_HEADINGS = {
    "en": {
        "computer": "machine", "resource_id": "resource id", "os_type": "OS", "from_version": "from",
        "to_version": "to", "kind": "kind", "last_old": "last old heartbeat", "first_new": "first new heartbeat",
        "bracket": "bracket", "changes": "changes", "versions": "versions in order", "upgrade": "upgrade", "downgrade": "downgrade",
    },
    "ja": {
        "computer": "マシン", "resource_id": "リソース ID", "os_type": "OS", "from_version": "旧バージョン",
        "to_version": "新バージョン", "kind": "種別", "last_old": "旧版の最後のハートビート",
        "first_new": "新版の最初のハートビート", "bracket": "区間", "changes": "変更回数", "versions": "バージョンの順",
        "upgrade": "アップグレード", "downgrade": "ダウングレード",
    },
}  # fmt: skip

_MACHINE = ["resource_id", "computer"]


def plain(text):
    r"""Make text from outside safe to stand in Markdown: it is shown as it is, whatever it holds.

    Examples
    --------
    >>> print(plain("<script>*x*_y_"))
    &lt;script&gt;\*x\*\_y\_
    """
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()#+\-!|~$:])", r"\\\1", html.escape(one_line, quote=False))


@dataclass(frozen=True)
class Narrator:
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

    def __post_init__(self):
        if self.language not in LANGUAGES:
            raise UsageError(f"language {self.language!r} is not known; it is en or ja")
        zone(self.timezone)

    def data(self):
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

    def inventory(self):
        """Say which versions report at the end, and who is silent."""
        machines = self.analysis.machines
        reporting, silent = (machines[machines["state"] == state] for state in ("reporting", "silent"))
        facts = {"machines": self._machines(machines), "horizon": self._horizon()}
        parts = [self._sentence("inventory none", **facts)]
        if len(reporting):
            named = (reporting["os_type"] + " " + reporting["version"]).value_counts().sort_index()
            parts = [
                self._sentence(
                    "inventory", reporting=self._number(len(reporting)) if self.language == "en"
                    else self._machines(reporting), versions=self._count(len(named), "version"),
                    common=plain(named.idxmax()), most=self._count(int(named.max()), "machine"), **facts,
                )
            ]  # fmt: skip
        if len(silent):
            parts.append(self._sentence("silent", machines=self._machines(silent), names=self._names(silent)))
        return self._join(parts)

    def changes(self):
        """Say how many changes of version there were, and how closely their moments are known."""
        a, changes = self.analysis, self.analysis.transitions
        if changes.empty:
            return self._sentence("changes none", start=self._time(a.window.start), end=self._time(a.window.end))
        width = (changes["first_new"] - changes["last_old"]).dt.total_seconds()
        kinds = changes["kind"].value_counts()
        return self._sentence(
            "changes", machines=self._machines(changes.drop_duplicates(_MACHINE)),
            upgrades=self._count(int(kinds.get("upgrade", 0)), "upgrade"),
            downgrades=self._count(int(kinds.get("downgrade", 0)), "downgrade"),
            median=self._duration(width.quantile(0.5, interpolation="higher")), widest=self._duration(width.max()),
            name=plain(self._labels(changes)[width.idxmax()]),
        )  # fmt: skip

    def timing(self):
        """Say when in the week and in the day upgrades came."""
        seen = self.analysis.transitions.query("kind == 'upgrade'")["first_new"].dt.tz_convert(self.timezone)
        if seen.empty:
            return self._sentence("timing none")
        cells = pd.DataFrame({"day": seen.dt.day_of_week, "hour": seen.dt.hour}).value_counts().sort_index()
        day, hour = cells.idxmax()
        outside = int((~((seen.dt.day_of_week < 5) & seen.dt.hour.between(8, 17))).sum())
        return self._sentence(
            "timing", day=_TEXT[self.language]["days"].split()[day], hour=f"{hour:02}", zone=self.timezone,
            most=self._number(int(cells.max())), upgrades=self._count(len(seen), "upgrade"),
            outside=self._number(outside), share=f"{100 * outside / len(seen):.0f}",
        )  # fmt: skip

    def unsteady(self):
        """Name the machines that went back to an earlier version, and those that changed often."""
        changes = self.analysis.transitions
        back = changes[rolled_back(changes)].drop_duplicates(_MACHINE)
        parts = [self._sentence("undone none")]
        if len(back):
            key = "undone" if len(back) == 1 else "undone many"
            parts = [self._sentence(key, machines=self._machines(back), names=self._names(back))]
        often = changes[changes.groupby(_MACHINE)["kind"].transform("size") >= 3].drop_duplicates(_MACHINE)
        if len(often):
            parts.append(self._sentence("flapping", machines=self._machines(often), names=self._names(often)))
        return self._join(parts)

    def limits(self):
        """Say what the analysis cannot show."""
        from amakit.collect import LOOKBACK

        run = self.analysis.run
        lines = [
            self._sentence("limit brackets"), self._sentence("limit attempts"),
            self._sentence("limit horizon", horizon=self._horizon()), self._sentence("limit silent", days=LOOKBACK.days),
        ]  # fmt: skip
        if run["missing_tables"]:
            lines.append(self._sentence("limit tables", tables=", ".join(run["missing_tables"])))
        return "\n".join(f"- {line}" for line in lines)

    def record(self):
        """Say by what the numbers were made."""
        run = self.analysis.run
        return self._sentence(
            "record", version=run["amakit"], workspace=plain(run["workspace"]),
            queries=self._count(len(run["queries"]), "query"),
            rows=self._count(sum(q["rows"] for q in run["queries"]), "row"),
            seconds=f"{sum(q['seconds'] for q in run['queries']):.1f}",
        )  # fmt: skip

    def changes_table(self, most=200):
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
            kind=changes["kind"].map(_HEADINGS[self.language]),
        )  # fmt: skip
        return self._headed(table)

    def unsteady_table(self, most=100):
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
        back = changes[rolled_back(changes)]
        rows = [
            (label, part["os_type"].iloc[0], len(part), " → ".join([part["from_version"].iloc[0], *part["to_version"]]))
            for (resource, computer, label), part in changes.groupby([*_MACHINE, self._labels(changes)])
            if len(part) > 1 or ((back["resource_id"] == resource) & (back["computer"] == computer)).any()
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["computer", "os_type", "changes", "versions"])
        return self._headed(table.sort_values(["changes", "computer"], ascending=[False, True]).head(most))

    # -- words --------------------------------------------------------------------------------------------

    def _text(self, key, **facts):
        return _TEXT[self.language][key].format(**facts)

    def _sentence(self, key, **facts):
        text = self._text(key, **facts)
        return text[0].upper() + text[1:]

    def _join(self, parts):
        return (" " if self.language == "en" else "").join(parts)

    def _number(self, number):
        return f"{number:,}"

    def _count(self, number, thing):
        one, many, none = _COUNTED[self.language][thing]
        return {0: none, 1: one}.get(number, many).format(n=self._number(number))

    def _machines(self, frame):
        return self._count(len(frame), "machine")

    def _names(self, frame, most=8):
        names = sorted(self._labels(frame))
        text = ", ".join(plain(name) for name in names[:most])
        return text if len(names) <= most else self._text("and more", names=text, n=len(names) - most)

    def _labels(self, frame):
        """Name machines as the whole fleet needs it, also where only one of two twins is in the frame."""
        fleet = self.analysis.machines
        called = dict(zip(fleet[_MACHINE].itertuples(index=False, name=None), machine_labels(fleet), strict=True))
        names = [called[machine] for machine in frame[_MACHINE].itertuples(index=False, name=None)]
        return pd.Series(names, index=frame.index, dtype="str", name="label")

    def _time(self, when):
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M}"

    def _moment(self, when):
        return f"{when.tz_convert(self.timezone):%Y-%m-%d %H:%M:%S}"

    def _horizon(self):
        return self._time(pd.Timestamp(self.analysis.run["horizon"]))

    def _duration(self, seconds):
        minutes, s = divmod(round(seconds), 60)
        hours, m = divmod(minutes, 60)
        days, h = divmod(hours, 24)
        key = "d" if days else "h" if hours else "m" if minutes else "s"
        return _TEXT[self.language][key].format(d=days, h=h, m=m, s=s)

    def _headed(self, table):
        headings = _HEADINGS[self.language]
        table = table.set_index("computer").rename(columns=headings).rename_axis(index=None)
        return table.rename_axis(columns=headings["computer"])  # one line of headings, not two


def zone(name):
    """Check the name of a time zone.

    Parameters
    ----------
    name : str
        As in the tz database.

    Returns
    -------
    str
        The same name.

    Raises
    ------
    UsageError
        When there is no such zone; the nearest names are given.

    Examples
    --------
    >>> zone("Asia/Tokio")
    Traceback (most recent call last):
    amakit.errors.UsageError: time zone 'Asia/Tokio' is not known; the nearest is 'Asia/Tokyo'
    """
    from zoneinfo import ZoneInfo, available_timezones

    from amakit.errors import nearest

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        close = nearest(name, available_timezones(), limit=1)
        raise UsageError(f"time zone {name!r} is not known; {close}") from error
    return name
