"""Are record numbers missing across an outage?  The strongest witness of a loss, where a table has them.

Record numbers count what the system wrote, collected or not.  Those missing across the outage are beta-binomial, with
the share that is missing in the six hours on either side.
"""

import numpy as np
import pandas as pd

from amakit.events.counts import RECORD_COUNTS

_KEY = ["item", "Source", "Channel"]


def continuity(records: pd.DataFrame) -> pd.DataFrame:
    """Give the probability that so many record numbers are missing across an outage.

    Parameters
    ----------
    records : pandas.DataFrame
        One row per item, side (0 before, 1 the outage with its brackets, 2 after), Source and Channel: Records
        (different numbers), Low, High, and over bins of time: Bins, Spans (sum of high − low + 1) and Evenness
        (sum of records² / span).

    Returns
    -------
    pandas.DataFrame
        item, Source, Channel, numbers (written between the last before and the first after), found of them,
        share (of the numbers around that are there), probability (1 where none was written).
        Channels whose numbers began anew, or that
        have none on either side, are left out.

    Examples
    --------
    >>> rows = [[0, 0, 101, 1, 101, 2, 101, 101.0], [0, 2, 101, 120, 220, 2, 101, 101.0]]  # 18 are missing
    >>> columns = ["item", "side", "Records", "Low", "High", "Bins", "Spans", "Evenness"]
    >>> found = continuity(pd.DataFrame(rows, columns=columns).assign(Source="a", Channel="System"))
    >>> int(found["numbers"][0]), int(found["found"][0]), bool(found["probability"][0] < 1e-10)
    (18, 0, True)
    """
    sides = [records[records["side"] == s].set_index(_KEY)[[*RECORD_COUNTS]].astype("float64") for s in (0, 1, 2)]
    before, after = sides[0].align(sides[2], join="inner", axis=0)
    bins, there, spans, evenness = (before[c] + after[c] for c in ("Bins", "Records", "Spans", "Evenness"))
    numbers = after["Low"] - before["High"] - 1
    # a leap far beyond what is usual is a new count, not a loss
    usable = (numbers >= 0) & (numbers <= 10 * (after["High"] - before["Low"] - numbers)) & (spans > bins)
    found = np.minimum(sides[1]["Records"].reindex(before.index).fillna(0), numbers)
    share = there / spans
    with np.errstate(divide="ignore", invalid="ignore"):  # how alike the numbers of one bin are, by their chi-squared
        uneven = (evenness - there * share) / (share * (1 - share)) / (bins - 1)
        alike = ((uneven - 1) / (spans / bins - 1)).where(share < 1, 0.0).fillna(1.0).clip(1e-12, 0.99)
        share = (there - bins) / (spans - bins)  # the first number of each bin is there by definition
    yes, no = there - bins + 0.5, spans - there + 0.5
    weight = np.minimum(1.0, (1 / alike - 1) / (yes + no))
    tested = pd.DataFrame({"numbers": numbers, "found": found, "share": share})[usable]
    of_beta = ((yes * weight)[usable], (no * weight)[usable])
    tested["probability"] = [_at_most(*row) for row in zip(tested["found"], tested["numbers"], *of_beta, strict=True)]
    return tested.astype({"probability": "float64"}).reset_index()


def _at_most(found, numbers, yes, no):
    """Give the probability of at most so many in a beta-binomial; the import of scipy.stats takes a second or two."""
    from scipy.special import betaln

    k = np.arange(found + 1)
    each = betaln(k + yes, numbers - k + no) - betaln(yes, no) - betaln(numbers - k + 1, k + 1) - np.log1p(numbers)
    return min(1.0, np.exp(each).sum())
