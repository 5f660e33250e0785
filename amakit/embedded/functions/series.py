"""Functions of KQL over series: fills, statistics, fitted lines, arithmetic."""

import math

import numpy as np

#: As in `scalars`: function -> (what computes it, kinds of its arguments, kind of its value).
SERIES: dict[str, tuple] = {}


def _series(arguments, value="j"):
    def added(call):
        SERIES[call.__name__.strip("_")] = (call, arguments, value)
        return call

    return added


def _numbers(series):
    """Give a series as floats; what is missing or no number is not a number."""
    return np.array(
        [v if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in series or []], dtype="float64"
    )


def _values(numbers):
    return [None if math.isnan(v) or math.isinf(v) else v for v in np.asarray(numbers, dtype="float64").tolist()]


# -- fills ------------------------------------------------------------------------------------------------


def _missing(series, mark):
    return [v is None or (mark is not None and v == mark) for v in series]


@_series("jJ")
def _series_fill_forward(series, mark=None):
    filled, last = [], None
    for value, gone in zip(series, _missing(series, mark), strict=True):
        last = last if gone else value
        filled.append(value if gone and last is None else last)
    return filled


@_series("jJ")
def _series_fill_backward(series, mark=None):
    return _series_fill_forward(series[::-1], mark)[::-1]


@_series("jjJ")
def _series_fill_const(series, constant, mark=None):
    return [constant if gone else v for v, gone in zip(series, _missing(series, mark), strict=True)]


@_series("jJBJ")
def _series_fill_linear(series, mark=None, edges=True, constant=0):
    known = [i for i, gone in enumerate(_missing(series, mark)) if not gone]
    if not known:
        return [constant] * len(series)
    filled = np.interp(range(len(series)), known, [float(series[i]) for i in known])
    inside = range(len(series)) if edges else range(known[0], known[-1] + 1)
    whole = set(known)
    return [series[i] if i in whole or i not in inside else float(filled[i]) for i in range(len(series))]


# -- statistics -------------------------------------------------------------------------------------------


@_series("jB")
def _series_stats_dynamic(series, ignore_nonfinite=False):
    numbers = _numbers(series)
    known = numbers[np.isfinite(numbers)]
    if not len(known) or (len(known) < len(numbers) and not ignore_nonfinite):
        return dict.fromkeys(("min", "min_idx", "max", "max_idx", "avg", "stdev", "variance", "sum", "len"))
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
    low, high = float(known.min()), float(known.max())
    return {
        "min": low,
        "min_idx": int(np.where(numbers == low)[0][0]),
        "max": high,
        "max_idx": int(np.where(numbers == high)[0][0]),
        "avg": float(known.mean()),
        "stdev": math.sqrt(variance),
        "variance": variance,
        "sum": float(known.sum()),
        "len": len(series),
    }


def _fitted(numbers):
    """Fit a line by least squares; the position in the series is x."""
    x = np.arange(len(numbers), dtype="float64")
    slope, interception = np.polyfit(x, numbers, 1) if len(numbers) > 1 else (0.0, float(numbers[0]))
    line = slope * x + interception
    variance = float(np.var(numbers, ddof=1)) if len(numbers) > 1 else 0.0
    rest = float(np.var(numbers - line, ddof=1)) if len(numbers) > 1 else 0.0
    return {
        "rsquare": 1 - rest / variance if variance else 0.0,
        "slope": float(slope),
        "variance": variance,
        "rvariance": rest,
        "interception": float(interception),
        "line_fit": _values(line),
    }


@_series("j")
def _series_fit_line_dynamic(series):
    numbers = _numbers(series)
    return _fitted(numbers) if len(numbers) and np.isfinite(numbers).all() else None


@_series("j")
def _series_fit_2lines_dynamic(series):
    """Fit two lines; they meet where the rest is smallest."""
    numbers = _numbers(series)
    if len(numbers) < 4 or not np.isfinite(numbers).all():
        return None

    def rest(cut):
        sides = [_fitted(part) for part in (numbers[:cut], numbers[cut:])]
        return sum(
            float(((part - side["line_fit"]) ** 2).sum())
            for part, side in zip((numbers[:cut], numbers[cut:]), sides, strict=True)
        )

    cut = min(range(2, len(numbers) - 1), key=rest)
    left, right = _fitted(numbers[:cut]), _fitted(numbers[cut:])
    line = np.array(left.pop("line_fit") + right.pop("line_fit"))
    variance, remains = float(np.var(numbers, ddof=1)), float(np.var(numbers - line, ddof=1))
    return {
        "rsquare": 1 - remains / variance if variance else 0.0,
        "split_idx": cut,
        "variance": variance,
        "rvariance": remains,
        "line_fit": _values(line),
        "right": right,
        "left": left,
    }


@_series("jj", "r")
def _series_pearson_correlation(left, right):
    one, two = _numbers(left), _numbers(right)
    if len(one) != len(two) or len(one) < 2 or not (np.isfinite(one).all() and np.isfinite(two).all()):
        return None
    return float(np.corrcoef(one, two)[0, 1])


@_series("jj", "r")
def _series_dot_product(left, right):
    one, two = (_numbers(one if isinstance(one, list) else [one]) for one in (left, right))
    if isinstance(left, list) != isinstance(right, list):  # a number stands for a series of it
        return float(one.sum() * two.sum())
    return None if len(one) != len(two) else float(one @ two)


@_series("j", "r")
def _series_sum(series):
    return float(_numbers(series).sum())


@_series("j", "r")
def _series_product(series):
    return float(_numbers(series).prod())


@_series("j", "r")
def _series_magnitude(series):
    return float(np.sqrt((_numbers(series) ** 2).sum()))


# -- filters ----------------------------------------------------------------------------------------------


@_series("jjBB")
def _series_fir(series, weights, normalize=True, center=False):
    numbers, w = _numbers(series), _numbers(weights)
    if normalize and w.sum():
        w = w / w.sum()
    whole = np.convolve(np.nan_to_num(numbers), w)
    begin = len(w) // 2 if center else 0
    return _values(whole[begin : begin + len(numbers)])


@_series("jjj")
def _series_iir(series, numerators, denominators):
    from scipy.signal import lfilter

    return _values(lfilter(_numbers(numerators), _numbers(denominators), _numbers(series)))


# -- element by element -----------------------------------------------------------------------------------


def _pairwise(name, compute):
    def call(left, right):
        length = max(len(side) for side in (left, right) if isinstance(side, list))
        one, two = (_numbers(side if isinstance(side, list) else [side] * length) for side in (left, right))
        size = max(len(one), len(two))
        one, two = (np.pad(side, (0, size - len(side)), constant_values=np.nan) for side in (one, two))
        with np.errstate(all="ignore"):
            found = compute(one, two)
        return [bool(v) for v in found] if found.dtype == bool else _values(found)

    SERIES[name] = (call, "jj", "j")


for _name, _compute in {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "pow": np.power,
    "greater": np.greater,
    "greater_equals": np.greater_equal,
    "less": np.less,
    "less_equals": np.less_equal,
    "equals": np.equal,
    "not_equals": np.not_equal,
}.items():
    _pairwise(f"series_{_name}", _compute)


def _each(name, compute):
    def call(series):
        with np.errstate(all="ignore"):
            return _values(compute(_numbers(series)))

    SERIES[name] = (call, "j", "j")


for _name, _compute in {
    "exp": np.exp,
    "sign": np.sign,
    "abs": np.abs,
    "sin": np.sin,
    "asin": np.arcsin,
    "cos": np.cos,
    "acos": np.arccos,
    "tan": np.tan,
    "atan": np.arctan,
    "log": np.log,
    "floor": np.floor,
    "ceiling": np.ceil,
}.items():
    _each(f"series_{_name}", _compute)


# -- rows -------------------------------------------------------------------------------------------------


@_series("jllj")
def _kql_sessions(times, from_first, between, anew):
    """Give the beginning of the session of each time, in microseconds, as row_window_session() counts them."""
    begun, before, found = None, None, []
    for at, restart in zip(times or [], anew or [], strict=True):
        if at is None:
            begun = None
        elif begun is None or restart or at >= begun + from_first or at >= before + between:
            begun = at
        before = at
        found.append(begun)
    return found
