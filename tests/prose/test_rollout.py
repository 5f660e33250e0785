"""Notebook 04: what is said of releases set against earlier ones follows from the table of the comparison."""

import numpy as np
import pandas as pd
import pytest
import rollouts

from amakit.prose.rollout import rollout

SAID = {
    ("en", 4.0): ["took agents away for longer than those to earlier releases"],
    ("en", 0.25): ["took agents away for less time than those to earlier releases"],
    ("en", 1.0): ["none shows a difference that chance would not give as well"],
    ("ja", 4.0): ["以前のリリースへの更新よりエージェントの不在が長く"],
    ("ja", 0.25): ["以前のリリースへの更新よりエージェントの不在が短く"],
    ("ja", 1.0): ["偶然では起こりにくい差を示すものはありません"],
}


def came(release, n, scale, seed):
    length = 90 * scale * np.exp(0.3 * np.random.default_rng(seed).standard_normal(n))
    return pd.DataFrame({"os_type": "Linux", "release": release, "failed": 0, "downtime_s": length, "heartbeats": 1.0})


@pytest.mark.parametrize(("language", "scale"), SAID)
def test_what_is_said_of_a_release_is_what_the_table_has(monkeypatch, language, scale):
    rows = pd.concat([came("1.9.0", 60, 1.0, 1), came("1.10.0", 60, scale, 2)])
    monkeypatch.setattr("amakit.study.compare.upgrades", lambda _: rows)
    listed = rollouts.releases(rollouts.release("1.9", "2025-12-01"))
    page = rollout(rollouts.fleet(3, machines=6)[0], language, "UTC", listed)
    for told in SAID[language, scale]:
        assert told in page["compared"]
    table = page.tables["compared"]
    assert len(table) == 3
    medians = rows.groupby("release")["downtime_s"].median()
    assert (medians["1.10.0"] > medians["1.9.0"]) == (scale > 1) or scale == 1.0


@pytest.mark.parametrize(
    ("language", "told"), [("en", "In all of them too few upgrades were seen"), ("ja", "更新が少なすぎて")]
)
def test_few_upgrades_prove_nothing_and_that_is_said(monkeypatch, language, told):
    rows = pd.concat([came("1.9.0", 1, 1.0, 1), came("1.10.0", 1, 9.0, 2)])
    monkeypatch.setattr("amakit.study.compare.upgrades", lambda _: rows)
    listed = rollouts.releases(rollouts.release("1.9", "2025-12-01"))
    assert told in rollout(rollouts.fleet(3, machines=6)[0], language, "UTC", listed)["compared"]
