"""From frames to facts to sentences, in English and Japanese.

Every number in a sentence is computed here from the tables, never typed.  Names come from machines and may
hold anything, so each passes `plain` on its way into Markdown.
"""

import html
import re
from dataclasses import dataclass

import pandas as pd

from amakit import blindness
from amakit.analysis import Analysis, machine_labels
from amakit.blindness import CAUSES, SLOW
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
        "outage": ("{n} outage", "{n} outages", "no outage"),
        "stream": ("{n} stream", "{n} streams", "no stream"),
        "sample": ("{n} sample lost", "{n} samples lost", "no sample lost"),
        "stretch": ("{n} stretch of time", "{n} stretches of time", "no stretch of time"),
        "pair": (
            "{n} pair of upgrade and event table",
            "{n} pairs of upgrade and event table",
            "no pair of upgrade and event table",
        ),
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
        "outage": ("{n} 件の停止",) * 3,
        "stream": ("{n} 本のストリーム",) * 3,
        "sample": ("サンプル {n} 個の損失",) * 3,
        "stretch": ("{n} 回",) * 3,
        "pair": ("アップグレードとイベント テーブルの組 {n} 組",) * 3,
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
        "limit attempts": "An upgrade that failed before the new version sent a heartbeat leaves no trace in versions, "
                          "so it is not on this page; `02_upgrade_gaps` shows the outage that it made.",
        "limit tables": "The workspace has no {tables}; what they would tell of causes and bounds is missing here.",
        "limit silent": "A machine that never sent a heartbeat in the window or in the {days} days before it is not "
                        "listed.",
        "record": "Made by amakit {version} on {workspace}: {queries}, {rows} fetched in {seconds} s.",
        "upgrades": "**{verdict}** {upgrades} on {machines}: {certain} certainly lost samples, {perhaps} may have, {spared} "
                    "lost none. The agent was blind for a median of {median} (bounds {low} to {high}) and for the "
                    "longest time, {longest}, on {name}.",
        "upgrades unended": "**{verdict}** {upgrades} on {machines}: {certain} certainly lost samples, {perhaps} may have, "
                            "{spared} lost none. How long the agent was blind is not known.",
        "cost": "Upgrades cost data.", "cost perhaps": "Upgrades may have cost data.",
        "cost none": "No upgrade cost data that can be counted.",
        "upgrades none": "**No upgrade happened between {start} and {end}, so none cost data.**",
        "lost": "Samples lost to upgrades, with the least and the most that the brackets allow: {lost}.",
        "lost one": "{type} {lost} ({low}–{high})",
        "unseen": "What minutes cost {types} cannot be seen: samples there are an hour or more apart.",
        "still": "Not back by {horizon}: {names}.",
        "still none": "Every agent was back by {horizon}.",
        "partial": "{streams} did not resume although the agent did, {lost} so far: {names}.",
        "stream of": "{stream} on {name}",
        "changes not counted": "`ConfigurationChange` is not counted: its rows come when something changes, not on a clock, so "
                               "nothing says how many are missing. A change made and undone while the agent was blind was "
                               "never recorded; one that lasted shows up at the next inventory, with a later time.",
        "events": "Events in logs are read afterwards, so they should not be lost. Of {pairs}, {recovered} recovered the rows "
                  "from inside the outage, {quiet} had none to expect, {open} cannot be decided, and {loss} may have lost "
                  "rows.",
        "events none": "Events read from logs (Windows events, Syslog, custom logs) are not judged here.",
        "events nothing": "No upgrade here met a table of events (Windows events, Syslog, custom logs).",
        "events lost": "Suspected: {names}.",
        "downtimes": "Of {upgrades} with a known end, half were blind for {median} or less and nine in ten for {most} or less. "
                     "By product line: {lines}.",
        "line": "{os} {n}, median {median}",
        "downtimes none": "There was no upgrade with a known end.",
        "others": "{outages} on {machines} {were}: {causes}.",
        "others none": "There was no outage that was not an upgrade.",
        "were": "was not an upgrade", "were many": "were not upgrades",
        "cause of": "{cause} {n}",
        "together": "Machines of one group were certainly blind at once in {certain}, and possibly in {possible} besides. First "
                    "come {names} ({group}), certainly for {seconds}. A whole group was certainly blind in {whole}.",
        "together perhaps": "No machines of one group were certainly blind at once; in {possible} they possibly were, the "
                            "longest on {names} ({group}) for {seconds} at most.",
        "together none": "No two machines of one resource group or scale set were blind at once.",
        "alerts": "Of {upgrades}, these would have tripped a heartbeat alert that is evaluated every {frequency} min: {lines}.",
        "alerts line": "with a window of {window} min, {fires} surely and {depends} depending on when it is evaluated",
        "alerts quiet": "Of {upgrades}, none would have tripped a heartbeat alert with any of the windows shown.",
        "alerts safe": "The shortest window in whole minutes that no upgrade here would trip is {safe} min; with it, {caught} "
                       "of {others} other outages would surely have been noticed.",
        "alerts unsafe": "No window is long enough for every upgrade here: on at least one machine heartbeats did not "
                         "come back, or their silence has no known end.",
        "alerts share": "Hourly availability, as the share of hours with a heartbeat, would surely have shown {fires} of {n} "
                        "outages.",
        "alerts none": "There was no outage that an alert could have noticed.",
        "limit bounds": "No end of an outage was seen. Both are brackets between samples, and every number here that depends "
                        "on them has bounds.",
        "limit slow": "Where samples are an hour or more apart ({types}), an outage of minutes mostly falls between two of them "
                      "and cannot be seen.",
        "limit delay": "Alerts look at rows as they arrive. The usual delay of a minute or several is not counted here; it "
                       "lengthens every silence for an alert.",
        "limit groups": "Availability zones and sets are not in these tables, so machines are grouped by resource group and "
                        "scale set only; a machine without a resource id belongs to no group.",
        "limit cause": "A cause is the reading of the evidence beside it. Without evidence an outage is unexplained, not "
                       "harmless.",
        "and more": "{names} and {n} more",
        "bounded": "{value} ({low} – {high})", "bounded count": "{value} ({low}–{high})",
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
        "limit attempts": "新版のハートビートが届く前に失敗したアップグレードはバージョンに痕跡を残さないため、このページには"
                          "現れません。それによる停止は `02_upgrade_gaps` に示します。",
        "limit tables": "ワークスペースに {tables} がないため、そこから分かる原因や区間の手がかりは含まれません。",
        "limit silent": "期間中およびその前の {days} 日間に一度もハートビートを送っていないマシンは一覧に現れません。",
        "record": "amakit {version}、ワークスペース {workspace}: {queries}、{rows}を {seconds} 秒で取得。",
        "upgrades": "**{verdict}** {machines}で{upgrades}。うち {certain} 件は確実にサンプルを失い、{perhaps} 件は失った可能性があり、"
                    "{spared} 件は何も失っていません。エージェントの停止時間の中央値は {median}（範囲 {low} ～ {high}）、最長は {name} の "
                    "{longest}です。",
        "upgrades unended": "**{verdict}** {machines}で{upgrades}。うち {certain} 件は確実にサンプルを失い、{perhaps} 件は失った可能性があり、"
                            "{spared} 件は何も失っていません。停止時間は分かりません。",
        "cost": "アップグレードによりデータが失われました。", "cost perhaps": "アップグレードによりデータが失われた可能性があります。",
        "cost none": "アップグレードによる、数えられるデータの損失はありません。",
        "upgrades none": "**{start} から {end} までアップグレードはなく、それによるデータの損失もありません。**",
        "lost": "アップグレードで失われたサンプル数（かっこ内は区間から考えられる最少と最多）: {lost}。",
        "lost one": "{type} {lost}（{low}–{high}）",
        "unseen": "{types} はサンプルの間隔が 1 時間以上あるため、数分の停止で何が失われたかは判定できません。",
        "still": "{horizon} の時点で復帰していないもの: {names}。",
        "still none": "{horizon} までにすべてのエージェントが復帰しています。",
        "partial": "エージェントは復帰したのに再開していないもの {streams}（これまでに{lost}）: {names}。",
        "stream of": "{name} の {stream}",
        "changes not counted": "`ConfigurationChange` は数えていません。一定間隔ではなく変更があったときにだけ行ができるため、何件欠けたかを知る"
                               "手掛かりがないからです。停止中に行われて元に戻された変更は記録されません。残った変更は、次のインベントリで遅れた"
                               "時刻として現れます。",
        "events": "ログから読み取るイベントは後から読み直されるため、失われないはずです。{pairs}のうち、停止中の行が回収されたもの {recovered} 組、"
                  "もともと行が見込まれないもの {quiet} 組、判定できないもの {open} 組、失われた可能性があるもの {loss} 組です。",
        "events none": "ログから読み取るイベント（Windows イベント、Syslog、カスタム ログ）はここでは判定していません。",
        "events nothing": "イベントのテーブル（Windows イベント、Syslog、カスタム ログ）に関わるアップグレードはありません。",
        "events lost": "疑いのあるもの: {names}。",
        "downtimes": "終わりの分かる{upgrades}のうち、半数は {median} 以下、9 割は {most} 以下の停止でした。製品ライン別: {lines}。",
        "line": "{os} {n} 件（中央値 {median}）",
        "downtimes none": "終わりの分かるアップグレードはありません。",
        "others": "{machines}で {outages}が{were}: {causes}。",
        "others none": "アップグレード以外の停止はありません。",
        "were": "アップグレード以外でした", "were many": "アップグレード以外でした",
        "cause of": "{cause} {n} 件",
        "together": "同じグループのマシンが確実に同時に停止したのは {certain}、その可能性があるのはさらに {possible}です。筆頭は {names}"
                    "（{group}）で、確実に重なったのは {seconds}です。グループ全体が確実に停止したのは {whole}です。",
        "together perhaps": "同じグループのマシンが確実に同時に停止したことはありません。その可能性があるのは {possible}で、最も長いものは {names}"
                            "（{group}）の最大 {seconds}です。",
        "together none": "同じリソース グループやスケール セットの 2 台以上が同時に停止したことはありません。",
        "alerts": "{upgrades}のうち、{frequency} 分ごとに評価するハートビート警告が発報するのは、{lines}です。",
        "alerts line": "集計期間 {window} 分で確実に {fires} 件、評価のタイミング次第で {depends} 件",
        "alerts quiet": "{upgrades}のうち、ここに示した集計期間のハートビート警告が発報するものはありません。",
        "alerts safe": "どのアップグレードでも発報しない最短の集計期間（分単位）は {safe} 分です。その場合、その他の停止 {others} 件のうち {caught} "
                       "件には確実に気付けます。",
        "alerts unsafe": "すべてのアップグレードで発報しない集計期間はありません。ハートビートが戻っていないか、途絶の終わりが分からないマシンが"
                         "あります。",
        "alerts share": "ハートビートのあった時間の割合による時間別可用性には、停止 {n} 件のうち {fires} 件が確実に現れます。",
        "alerts none": "警告で気付けるような停止はありません。",
        "limit bounds": "停止の始まりと終わりそのものは観測できません。どちらもサンプルとサンプルの間の区間であり、それに基づく数値には"
                        "すべて範囲があります。",
        "limit slow": "サンプルの間隔が 1 時間以上のもの（{types}）では、数分の停止はたいてい 2 つのサンプルの間に収まり、見えません。",
        "limit delay": "警告は届いた行を見ます。通常 1 分から数分の到着の遅れはここでは数えていません。その分、警告から見た途絶は長くなります。",
        "limit groups": "可用性ゾーンや可用性セットはこれらのテーブルにないため、グループはリソース グループとスケール セットだけです。リソース ID の"
                        "ないマシンはどのグループにも入りません。",
        "limit cause": "原因は、示した根拠から読み取ったものです。根拠がない停止は「原因不明」であり、無害という意味ではありません。",
        "and more": "{names} ほか {n} 台",
        "bounded": "{value}（{low} – {high}）", "bounded count": "{value}（{low}–{high}）",
        "days": "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
        "h": "{h} 時間 {m} 分", "m": "{m} 分 {s} 秒", "s": "{s} 秒", "d": "{d} 日 {h} 時間",
    },
}  # fmt: skip

_HEADINGS = {
    "en": {
        "computer": "machine", "resource_id": "resource id", "os_type": "OS", "from_version": "from",
        "to_version": "to", "kind": "kind", "last_old": "last old heartbeat", "first_new": "first new heartbeat",
        "bracket": "bracket", "changes": "changes", "versions": "versions in order", "upgrade": "upgrade", "downgrade": "downgrade",
        "began": "began", "downtime": "blind, min:s (bounds)", "pair": "version", "unseen": "cannot be seen", "cause": "cause", "evidence": "evidence (UTC)",
        "unended": "not back", "away": " + {n} not resumed", "rolled_back": "upgrade rolled back", "rollback_failed": "roll-back failed",
        "machine_stopped": "machine stopped", "machine_restarted": "machine restarted", "disconnected": "network away",
        "unexplained": "unexplained", "group": "group", "kind of group": "kind of group", "machines": "machines",
        "at_once": "blind at once", "of": "{n} of {all}", "of range": "{n}–{high} of {all}", "certain": "certainly for",
        "possible": "possibly for", "scale_set": "scale set",
        "resource_group": "resource group", "arc_group": "Arc resource group", "method": "what looks at heartbeats",
        "alert": "alert, no heartbeat for {n} min", "hourly share": "hourly availability, share of hours with a heartbeat",
        "hourly count": "hourly availability, heartbeats against 60 an hour", "fires": "surely notices", "depends": "depends",
        "misses": "never notices", "upgrades": "upgrades: ", "others": "other outages: ",
    },
    "ja": {
        "computer": "マシン", "resource_id": "リソース ID", "os_type": "OS", "from_version": "旧バージョン",
        "to_version": "新バージョン", "kind": "種別", "last_old": "旧版の最後のハートビート",
        "first_new": "新版の最初のハートビート", "bracket": "区間", "changes": "変更回数", "versions": "バージョンの順",
        "upgrade": "アップグレード", "downgrade": "ダウングレード",
        "began": "開始", "downtime": "停止 分:秒（範囲）", "pair": "バージョン", "unseen": "判定不能", "cause": "原因", "evidence": "根拠（UTC）",
        "unended": "未復帰", "away": " + 未再開 {n} 本", "rolled_back": "ロールバック", "rollback_failed": "ロールバック失敗",
        "machine_stopped": "マシン停止", "machine_restarted": "マシン再起動", "disconnected": "ネットワーク切断",
        "unexplained": "原因不明", "group": "グループ", "kind of group": "グループの種類", "machines": "マシン",
        "at_once": "同時に停止", "of": "{all} 台中 {n} 台", "of range": "{all} 台中 {n}–{high} 台", "certain": "確実な重なり",
        "possible": "考えられる重なり", "scale_set": "スケール セット",
        "resource_group": "リソース グループ", "arc_group": "Arc のリソース グループ", "method": "ハートビートを見るもの",
        "alert": "警告: {n} 分間ハートビートなし", "hourly share": "時間別可用性: ハートビートのあった時間の割合",
        "hourly count": "時間別可用性: 1 時間 60 件に対する件数", "fires": "確実に気付く", "depends": "タイミング次第",
        "misses": "気付かない", "upgrades": "アップグレード: ", "others": "その他の停止: ",
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

    def cost(self):
        """Say whether upgrades cost data, how much of what, and how long agents were blind."""
        a, own = self.analysis, self._upgrades()
        if own.empty:
            parts = [self._sentence("upgrades none", start=self._time(a.window.start), end=self._time(a.window.end))]
            return "\n\n".join([*parts, self._still()])
        lost = self._lost(own)
        of_outage = lost.groupby("outage")[["lost_low", "lost_high"]].sum().reindex(own.index, fill_value=0)
        certain = int((of_outage["lost_low"] > 0).sum())
        perhaps = int(((of_outage["lost_low"] == 0) & (of_outage["lost_high"] > 0)).sum())
        verdict = "cost" if certain else "cost perhaps" if perhaps else "cost none"
        ended = own[own["downtime_s"].notna()]
        facts = {
            "verdict": self._text(verdict), "upgrades": self._count(len(own), "upgrade"),
            "machines": self._machines(own.drop_duplicates(_MACHINE)), "certain": self._number(certain),
            "perhaps": self._number(perhaps), "spared": self._number(len(own) - certain - perhaps),
        }  # fmt: skip
        if len(ended):
            longest = ended["downtime_s"].idxmax()
            facts |= {
                "median": self._duration(ended["downtime_s"].median()),
                "low": self._duration(ended["downtime_low_s"].median()),
                "high": self._duration(ended["downtime_high_s"].median()),
                "longest": self._bounded(ended.loc[longest]), "name": plain(self._labels(ended)[longest]),
            }  # fmt: skip
        parts = [self._sentence("upgrades" if len(ended) else "upgrades unended", **facts)]
        told, unseen = self._by_type(lost)
        if len(told):
            each = [self._text("lost one", type=plain(name), lost=self._number(int(row["lost"])),
                               low=self._number(int(row["lost_low"])), high=self._number(int(row["lost_high"])))
                    for name, row in told.iterrows()]  # fmt: skip
            parts.append(self._sentence("lost", lost=", ".join(each)))
        if unseen:
            parts.append(self._sentence("unseen", types=", ".join(map(plain, unseen))))
        parts.append(self._still())
        return "\n\n".join(parts)

    def events(self):
        """Say what became of rows that an agent reads from logs, and what is not counted."""
        events = getattr(self.analysis, "events", None)
        parts = [self._sentence("events none" if events is None else "events nothing")]
        own = events[events["cause"] == "upgrade"] if events is not None else ()
        if len(own):
            verdicts = own["verdict"].value_counts()
            numbers = {
                "recovered": "recovered", "quiet": "none_expected", "open": "undetermined", "loss": "possible_loss"
            }  # fmt: skip
            facts = {fact: self._number(int(verdicts.get(verdict, 0))) for fact, verdict in numbers.items()}
            parts = [self._sentence("events", pairs=self._count(len(own), "pair"), **facts)]
            loss = own[own["verdict"] == "possible_loss"]
            if len(loss):
                names = (loss["data_type"].map(plain), self._labels(loss).map(plain))
                told = [self._text("stream of", stream=stream, name=name) for stream, name in zip(*names, strict=True)]
                parts.append(self._sentence("events lost", names=self._listed(told)))
        return "\n\n".join([self._join(parts), self._sentence("changes not counted")])

    def downtimes(self):
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

    def others(self):
        """Say which outages were not upgrades."""
        own = self._others()
        if own.empty:
            return self._sentence("others none")
        counts = own["cause"].value_counts()
        order = [c for c in CAUSES if c in counts] + sorted(set(counts.index) - set(CAUSES))
        causes = [self._text("cause of", cause=self._cause(c), n=self._number(int(counts[c]))) for c in order]
        return self._sentence(
            "others", outages=self._count(len(own), "outage"), causes=", ".join(causes),
            machines=self._machines(own.drop_duplicates(_MACHINE)),
            were=self._text("were" if len(own) == 1 else "were many"),
        )  # fmt: skip

    def together(self):
        """Say which machines of one group were blind at once."""
        found = self._together()
        if found.empty:
            return self._sentence("together none")
        sure = found[found["certain_s"] > 0]
        possible = self._count(len(found) - len(sure), "stretch")
        first = (sure if len(sure) else found).iloc[0]
        facts = {"names": self._members(first), "group": plain(self._group(first)), "possible": possible}
        if sure.empty:
            return self._sentence("together perhaps", seconds=self._duration(first["possible_s"]), **facts)
        whole = int((sure["at_once"] == sure["members"]).sum())
        return self._sentence(
            "together", certain=self._count(len(sure), "stretch"), seconds=self._duration(first["certain_s"]),
            whole=self._count(whole, "stretch"), **facts,
        )  # fmt: skip

    def alerts(self, windows=blindness.WINDOWS, frequency=1):
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
        upgrade = silent["cause"] == "upgrade"
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
        safe = blindness.safe_window(silent[upgrade])
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

    def gap_limits(self):
        """Say what the analysis of outages and losses cannot show."""
        from amakit.collect import LOOKBACK

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

    def lost_table(self, most=200):
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
        lost = self._lost(own)
        types = sorted(lost["data_type"].unique(), key=lambda name: (name in self._unseen_types(lost), name))
        cells = dict.fromkeys(types, "–")
        rows = {index: dict(cells) for index in own.index}
        for (index, name), part in lost.groupby(["outage", "data_type"]):
            slow = (part["interval_s"] >= SLOW).all() and not part["lost_low"].sum()
            back = part[~self._stays(part)]
            numbers = [int(back[column].sum()) for column in ("lost", "lost_low", "lost_high")]
            away = self._heading("away").format(n=len(part) - len(back)) if len(back) < len(part) else ""
            rows[index][name] = self._heading("unseen") if slow else self._counted(*numbers) + away
        told = pd.DataFrame.from_dict(rows, orient="index", columns=types)
        return self._headed(pd.concat([self._outage_cells(own), told], axis=1))

    def others_table(self, most=200):
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
        table = self._outage_cells(own).assign(evidence=own["evidence"])
        table.insert(1, "cause", own["cause"].map(self._cause))
        return self._headed(table)

    def together_table(self, most=100):
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
        found = self._together().head(most)
        headings = _HEADINGS[self.language]
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

    def alerts_table(self, windows=blindness.WINDOWS, frequency=1):
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
        headings = _HEADINGS[self.language]
        silent, found = self._noticed(windows, frequency)
        upgrade = silent["cause"] == "upgrade"
        names = [headings["alert"].format(n=c.split()[1]) if c.startswith("alert ") else headings[c] for c in found]
        columns = {
            headings[who] + headings[verdict]: [int((found.loc[rows, name] == verdict).sum()) for name in found]
            for who, rows in (("upgrades", upgrade), ("others", ~upgrade)) for verdict in ("fires", "depends", "misses")
        }  # fmt: skip
        table = pd.DataFrame(columns, index=names)
        return table.rename_axis(columns=headings["method"])

    # -- facts --------------------------------------------------------------------------------------------

    def _upgrades(self):
        return self.analysis.outages[self.analysis.outages["cause"] == "upgrade"]

    def _others(self):
        return self.analysis.outages[self.analysis.outages["cause"] != "upgrade"]

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
        cells = {
            "computer": self._labels(outages), "pair": outages["from_version"].where(same, pair),
            "began": outages["start_earliest"].map(self._moment),
            "downtime": pd.Series([self._clocked(row) for _, row in outages.iterrows()], outages.index, dtype="object"),
        }  # fmt: skip
        return pd.DataFrame(cells, index=outages.index)

    def _lost(self, outages):
        """Give the rows of gaps that belong to some outages, with the index of the outage in ``outage``."""
        keys = outages[[*_MACHINE, "start_earliest"]].rename(columns={"start_earliest": "outage_start"})
        return self.analysis.gaps.merge(keys.assign(outage=outages.index), on=[*_MACHINE, "outage_start"])

    def _unseen_types(self, lost):
        slow = lost.assign(unseen=(lost["interval_s"] >= SLOW)).groupby("data_type")
        every = slow["unseen"].all() & (slow["lost_low"].sum() == 0)
        return list(every.index[every])

    def _by_type(self, lost):
        """Give samples lost by data type, and the types whose losses cannot be seen."""
        unseen = self._unseen_types(lost)
        told = lost[~lost["data_type"].isin(unseen) & ~self._stays(lost)]
        return told.groupby("data_type")[["lost", "lost_low", "lost_high"]].sum(), unseen

    def _stays(self, lost):
        """Say which rows of gaps are of streams that stayed away from an agent that came back."""
        back = lost["outage"].map(~self.analysis.outages["ongoing"].astype("bool"))
        return lost["ongoing"].astype("bool") & back.astype("bool")

    def _still(self):
        """Say who is not back, and which streams stayed away from an agent that is."""
        outages = self.analysis.outages
        ongoing = outages["ongoing"].astype("bool")
        gone = outages[ongoing].drop_duplicates(_MACHINE)
        parts = [self._sentence("still none", horizon=self._horizon())]
        if len(gone):
            parts = [self._sentence("still", horizon=self._horizon(), names=self._names(gone))]
        away = self._lost(outages)
        away = away[self._stays(away)].drop_duplicates([*_MACHINE, "data_type", "stream"])
        if len(away):
            stream = (away["data_type"] + " " + away["stream"].str.rstrip(" \\")).str.strip().map(plain)
            told = [self._text("stream of", stream=s, name=plain(name))
                    for s, name in zip(stream, self._labels(away), strict=True)]  # fmt: skip
            lost = self._count(int(away["lost"].sum()), "sample")
            streams = self._count(len(away), "stream")
            parts.append(self._sentence("partial", streams=streams, lost=lost, names=self._listed(told)))
        return self._join(parts)

    def _together(self):
        horizon = pd.Timestamp(self.analysis.run["horizon"])
        return blindness.together(self.analysis.outages, self.analysis.machines, horizon)

    def _labels_of(self, stretch):
        return sorted(set(self._labels(self.analysis.outages.loc[list(stretch["rows"])])))

    def _members(self, stretch):
        return self._names(self.analysis.outages.loc[list(stretch["rows"])].drop_duplicates(_MACHINE))

    def _group(self, stretch):
        return stretch["group"].rsplit("/", 1)[-1]

    def _noticed(self, windows, frequency):
        horizon = pd.Timestamp(self.analysis.run["horizon"])
        silent = blindness.silences(self.analysis.outages, self.analysis.gaps, horizon)
        return silent, blindness.verdicts(silent, horizon, windows, frequency)

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

    def _heading(self, key):
        return _HEADINGS[self.language][key]

    def _cause(self, cause):
        return _HEADINGS[self.language].get(cause, plain(cause))

    def _listed(self, told, most=8):
        more = len(told) - most
        return ", ".join(told[:most]) + (f" (+{more:,})" if more > 0 else "")

    def _counted(self, number, low, high):
        if low == high:
            return self._number(number)
        return self._text("bounded count", value=self._number(number), low=self._number(low), high=self._number(high))

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
