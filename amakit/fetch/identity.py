"""Which rows are of one machine: through a new name, another resource group, and ids that were made anew."""

import pandas as pd

from amakit.schemas import MACHINE

_SPELLED = ["ResourceId", "Computer"]
_IDS = ["ResourceId", "Short", "Agent", "Vm"]


def with_machines(rows: pd.DataFrame) -> pd.DataFrame:
    """Name the machine of each row of the first pass.

    A row without a resource id belongs to the machine that has its computer name; some builds leave the id empty just
    after they start.  Where several machines share the name, or none has an id, the name alone stands.  Then names
    that follow each other are one machine where two of four things stay: the resource id, the computer's short name,
    the agent's own id and the machine's hardware id; one of the last two must be among them.  Names that report at
    once are one only where they are the long and the short form of one name.  A machine is called what it was called
    last.

    Parameters
    ----------
    rows : pandas.DataFrame
        ResourceId, Computer, Agent, Vm in lower case, FirstBeat and LastBeat.

    Returns
    -------
    pandas.DataFrame
        The rows with resource_id and computer.

    Examples
    --------
    >>> t = pd.date_range("2026-03-02", periods=4, tz="UTC")
    >>> rows = pd.DataFrame({"ResourceId": "/r", "Computer": ["a.corp.example", "a"], "Agent": "s", "Vm": "v",
    ...     "FirstBeat": t[[0, 2]], "LastBeat": t[[1, 3]]})
    >>> with_machines(rows)["computer"].tolist()
    ['a', 'a']
    """
    known = rows.loc[rows["ResourceId"] != ""].groupby("Computer")["ResourceId"].agg(["first", "nunique"])
    only = known.loc[known["nunique"] == 1, "first"].to_dict()
    filled = rows["Computer"].map(lambda name: only.get(name, "")).astype("str")
    whole = rows["ResourceId"].where(rows["ResourceId"] != "", filled).astype("str")
    named = rows.assign(resource_id=whole, computer=rows["Computer"])
    latest = _same_machines(named.assign(ResourceId=whole))
    if not latest:
        return named
    keys = pd.Series(list(named[MACHINE].itertuples(index=False, name=None)), index=named.index)
    final = [latest.get(key, key) for key in keys]
    return named.assign(resource_id=[key[0] for key in final], computer=[key[1] for key in final])


def _same_machines(rows):
    """Give the name that a machine bore last, by each name that it bore before."""
    spans = (
        rows.assign(Short=short_name(rows["Computer"]))
        .groupby([*MACHINE, *_IDS], as_index=False, sort=True)
        .agg(First=("FirstBeat", "min"), Last=("LastBeat", "max"))
    )
    crowded = [
        spans.loc[(spans[key] != "") & (spans.groupby(key)["computer"].transform("size") > 1)]
        for key in ("Agent", "Vm")
    ]
    candidates = pd.concat(crowded).drop_duplicates()
    if not len(candidates) or len(candidates[MACHINE].drop_duplicates()) < 2:
        return {}
    pairs = (
        pd.concat(
            [
                candidates.merge(
                    candidates.assign(same=candidates[key]), left_on=key, right_on="same", suffixes=("", "_2")
                )
                for key in ("Agent", "Vm")
            ]
        )
        .drop(columns="same")
        .drop_duplicates()
    )
    pairs = pairs[(pairs["resource_id"] != pairs["resource_id_2"]) | (pairs["computer"] != pairs["computer_2"])]
    shared = sum(((pairs[key] == pairs[f"{key}_2"]) & (pairs[key] != "")).astype(int) for key in _IDS)
    pairs = pairs[(shared >= 2) & (pairs["First"] <= pairs["First_2"])].drop_duplicates()
    days = dict(list(rows.groupby(MACHINE)[["FirstBeat", "LastBeat"]]))
    newest = rows.groupby(MACHINE)["LastBeat"].max().to_dict()
    parent: dict[tuple, tuple] = {}

    def root(key):
        while key in parent:
            key = parent[key]
        return key

    for row in pairs.sort_values(["First", "First_2"]).itertuples():
        one, two = (row.resource_id, row.computer), (row.resource_id_2, row.computer_2)
        one_name = row.ResourceId == row.ResourceId_2 and row.Short == row.Short_2
        if not one_name and _at_once(days[one], days[two]):
            continue
        old, new = sorted((root(one), root(two)), key=lambda key: newest[key])
        if old != new:
            parent[old] = new
    return {key: root(key) for key in parent}


def _at_once(one, two):
    """Say whether two names reported at the same time on any day."""
    pairs = one.merge(two, how="cross", suffixes=("", "_2"))
    return bool(((pairs["FirstBeat"] <= pairs["LastBeat_2"]) & (pairs["FirstBeat_2"] <= pairs["LastBeat"])).any())


def made_anew(rows: pd.DataFrame) -> pd.DataFrame:
    """Find where a machine was made anew under its name: the agent's id and the hardware's id both changed.

    What reports before and what reports afterwards are two machines, so that nothing between them is an outage or an
    upgrade.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `with_machines` gives them.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, last (beat of the old machine) and first (of the new one).

    Examples
    --------
    >>> t = pd.date_range("2026-03-02", periods=4, tz="UTC")
    >>> rows = pd.DataFrame({"resource_id": "/r", "computer": "a", "Agent": ["s", "t"], "Vm": ["v", "w"],
    ...     "FirstBeat": t[[0, 2]], "LastBeat": t[[1, 3]]})
    >>> len(made_anew(rows))
    1
    """
    told = rows[(rows["Agent"] != "") & (rows["Vm"] != "") & (rows["Agent"] != rows["Vm"])]
    lives = told.groupby([*MACHINE, "Agent", "Vm"], as_index=False).agg(
        first=("FirstBeat", "min"), last=("LastBeat", "max")
    )
    lives = lives.sort_values([*MACHINE, "first"], ignore_index=True)
    before = lives.groupby(MACHINE)[["Agent", "Vm", "last"]].shift()
    others = lives.groupby([*MACHINE, "Agent"])["Vm"].transform("size") > 1
    others |= lives.groupby([*MACHINE, "Vm"])["Agent"].transform("size") > 1
    new = before["last"].notna() & (before["last"] < lives["first"]) & ~others & ~others.shift(fill_value=False)
    new &= (before["Agent"] != lives["Agent"]) & (before["Vm"] != lives["Vm"])
    return lives[new].assign(last=before["last"])[[*MACHINE, "last", "first"]].reset_index(drop=True)


def within(stretches: pd.DataFrame, around: pd.DataFrame) -> pd.Series:
    """Mark the stretches (last, first) of a machine that reach across one of others of the same machine."""
    pairs = stretches.assign(row=range(len(stretches))).merge(around, on=MACHINE, suffixes=("", "_2"))
    across = (pairs["last"] <= pairs["last_2"]) & ~(pairs["first"] < pairs["first_2"])
    return pd.Series(range(len(stretches)), stretches.index).isin(pairs.loc[across, "row"])


def of_two_machines(quiet: pd.DataFrame, anew: pd.DataFrame) -> pd.Series:
    """Mark the silences of event sources that begin where one machine ended and another took its name.

    The source of the new machine is another one: that it speaks later, or never, is no loss.  Sources are judged by
    hours, so a silence that begins within an hour of the old machine's last beat belongs to its end.
    """
    hour = pd.Timedelta(hours=1)
    pairs = quiet.assign(row=range(len(quiet))).merge(anew, on=MACHINE)
    begins = pairs["silent_from"].between(pairs["last"] - hour, pairs["first"])
    ends = pairs["silent_to"].isna() | (pairs["silent_to"] >= pairs["first"] - hour)
    return pd.Series(range(len(quiet)), quiet.index).isin(pairs.loc[begins & ends, "row"])


def resolved(spelled: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Find the machine of each spelling of another table: by its id, by its name only where the id is empty or shared.

    Parameters
    ----------
    spelled : pandas.DataFrame
        ResourceId and Computer as a table has them, in lower case.
    names : pandas.DataFrame
        resource_id and computer of the machines, and ResourceId and Computer under which their heartbeats come.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, ResourceId, Computer; a spelling that tells no machine is left out.

    Examples
    --------
    >>> names = pd.DataFrame({"resource_id": "/r", "computer": ["a.corp.example"], "ResourceId": "/r",
    ...     "Computer": "a.corp.example"})
    >>> spelled = pd.DataFrame({"ResourceId": ["/r", "", "/x"], "Computer": ["a", "a", "a"]})
    >>> resolved(spelled, names)["ResourceId"].tolist()
    ['/r', '']
    """
    spelled = spelled[_SPELLED].drop_duplicates()
    exact = spelled.merge(names, on=_SPELLED)
    rest = spelled.merge(exact[_SPELLED].drop_duplicates(), how="left", on=_SPELLED, indicator=True)
    rest = rest.loc[rest["_merge"] == "left_only", _SPELLED]
    if rest.empty:
        return exact[[*MACHINE, *_SPELLED]]
    rest = rest.assign(Short=short_name(rest["Computer"]))
    known = names.assign(Short=short_name(names["Computer"]))[[*MACHINE, "ResourceId", "Short"]].drop_duplicates()
    found = [exact]
    for keys, own in (
        (["ResourceId"], known[known["ResourceId"] != ""].drop(columns="Short")),
        (["ResourceId", "Short"], known[known["ResourceId"] != ""]),
        (["Short"], known.drop(columns="ResourceId")),
    ):
        asked = rest[rest["ResourceId"] == ""] if keys == ["Short"] else rest
        pairs = asked.merge(own.drop_duplicates(), on=keys)
        pairs = pairs[~pairs.duplicated(_SPELLED, keep=False)]
        found.append(pairs)
        rest = rest[~pd.MultiIndex.from_frame(rest[_SPELLED]).isin(pd.MultiIndex.from_frame(pairs[_SPELLED]))]
    return pd.concat(found, ignore_index=True)[[*MACHINE, *_SPELLED]]


def short_name(computers: pd.Series) -> pd.Series:
    """Give computer names without their domain; an address stays whole.

    Examples
    --------
    >>> short_name(pd.Series(["web-01.corp.example", "web-01", "10.0.0.5"])).tolist()
    ['web-01', 'web-01', '10.0.0.5']
    """
    text = computers.astype("str")
    return text.str.split(".", n=1).str[0].where(~text.str.fullmatch(r"[\d.]+"), text)
