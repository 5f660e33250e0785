"""Stretches without data of machines, streams and sources."""

from incident import blind


def test_each_stretch_without_data_is_there_once():
    rows = blind().segments
    told = rows.groupby("kind")["computer"].agg(list).to_dict()
    assert told == {"outage": ["a", "b", "d"], "source": ["b"], "stream": ["a", "a"], "unknown": ["a", "b", "d", "e"]}
    assert rows.loc[rows["ongoing"].astype("bool"), "kind"].tolist() == ["stream", "source", "outage"]
    outages = rows[rows["kind"] == "outage"].set_index("computer")
    assert outages.loc["a", ["start", "sure_start", "sure_end", "end"]].is_monotonic_increasing
    assert outages.loc["b", ["sure_start", "sure_end"]].isna().all()
    assert outages["sure_start"].notna().tolist() == [True, False, True]
    assert outages["sure_end"].notna().tolist() == [True, False, False]
