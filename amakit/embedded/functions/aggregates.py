"""Aggregates of KQL as SQL, by how many arguments they have."""

#: Microseconds from the year 1, from which KQL counts, to 1970.
ORIGIN = 62_135_596_800_000_000
_TIME = "strftime(TRY_CAST(CAST({0} AS VARCHAR) AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%f') || '0Z'"
#: An element as it stands in a list of KQL, which is JSON: times as KQL writes them.
_ELEMENT = f"CASE typeof({{0}}) WHEN 'TIMESTAMP' THEN to_json({_TIME}) ELSE to_json({{0}}) END"
#: make_set and make_list have no more elements than this.
_MOST = 1_048_576
#: Up to so many comparisons make_set looks for where an element came first.
_MANY = 10_000_000


def _list(where, most=_MOST, order=""):
    whole = f"list({_ELEMENT}{order}) FILTER (WHERE {where})"
    return f"to_json(coalesce(list_slice({whole}, 1, {most}), []))"


def _set(where, most=_MOST, order=""):
    """Collect distinct elements; arrays are taken apart, as KQL does it."""
    inside = (
        "CASE WHEN typeof({0}) = 'JSON' AND json_type(TRY_CAST(CAST({0} AS VARCHAR) AS JSON)) = 'ARRAY' "
        f"THEN CAST(CAST({{0}} AS VARCHAR) AS JSON[]) ELSE [{_ELEMENT}] END"
    )
    whole = f"flatten(list({inside}{order}) FILTER (WHERE {where}))"
    # in the order in which they come first, as Kusto shows them; of very many in their own, which is quicker
    placed = "list_transform(list_distinct(kql_l), lambda kql_v: {{'at': list_position(kql_l, kql_v), 'v': kql_v}})"
    first = f"list_transform(list_sort({placed}), lambda kql_p: kql_p.v)"
    short = f"len(kql_l) * len(list_distinct(kql_l)) <= {_MANY}"
    ordered = f"CASE WHEN {short} THEN {first} ELSE list_sort(list_distinct(kql_l)) END"
    distinct = f"list_transform([{whole}], lambda kql_l: {ordered})[1]"
    return f"to_json(coalesce(list_slice({distinct}, 1, {most}), []))"


_THERE, _IF = "{0} IS NOT NULL", "{0} IS NOT NULL AND {1}"


def _bag(where, most=""):
    whole = f"list({{0}}) FILTER (WHERE {where})"
    cut = f"list_slice({whole}, 1, {most})" if most else whole
    return f"CAST(kqlpy_kql_bag_of_1(CAST(to_json(coalesce({cut}, [])) AS VARCHAR)) AS JSON)"


#: Aggregate -> (what its column is called before the argument, number of arguments -> SQL).
AGGREGATES: dict[str, tuple] = {
    "make_list": ("list", {1: _list(_THERE), 2: _list(_THERE, "{1}")}),
    "make_set": ("set", {1: _set(_THERE), 2: _set(_THERE, "{1}")}),
    "make_list_if": ("list", {2: _list(_IF), 3: _list(_IF, "{2}")}),
    "make_set_if": ("set", {2: _set(_IF), 3: _set(_IF, "{2}")}),
    "make_list_with_nulls": ("list", {1: f"to_json(coalesce(list({_ELEMENT}), []))"}),
    "make_bag": ("bag", {1: _bag(_THERE), 2: _bag(_THERE, "{1}")}),
    "make_bag_if": ("bag", {2: _bag(_IF), 3: _bag(_IF, "{2}")}),
    "covarianceif": (None, {3: "covar_samp({0}, {1}) FILTER (WHERE {2})"}),
    "covariancepif": (None, {3: "covar_pop({0}, {1}) FILTER (WHERE {2})"}),
    "kql_count": ("count", {1: "count(*)"}),  # of a value too, rows count whose value is null
    "minif": (None, {2: "min({0}) FILTER (WHERE {1})"}),
    "maxif": (None, {2: "max({0}) FILTER (WHERE {1})"}),
    "count_distinct": (None, {1: "count(DISTINCT {0})"}),
    "count_distinctif": (None, {2: "count(DISTINCT {0}) FILTER (WHERE {1})"}),
    "cnt": ("count", {0: "count(*)"}),
    "stdevp": (None, {1: "coalesce(stddev_pop({0}), 0.0)"}),
    "variancep": (None, {1: "coalesce(var_pop({0}), 0.0)"}),
    "variancepif": (None, {2: "coalesce(var_pop({0}) FILTER (WHERE {1}), 0.0)"}),
    "covariance": (None, {2: "covar_samp({0}, {1})"}),
    "covariancep": (None, {2: "covar_pop({0}, {1})"}),
    "anyif": (None, {2: "any_value({0}) FILTER (WHERE {1})"}),
    "take_anyif": ("", {2: "any_value({0}) FILTER (WHERE {1})"}),
    "binary_all_and": (None, {1: "bit_and(CAST({0} AS BIGINT))"}),
    "binary_all_or": (None, {1: "bit_or(CAST({0} AS BIGINT))"}),
    "binary_all_xor": (None, {1: "bit_xor(CAST({0} AS BIGINT))"}),
    "kql_avg_timespan": ("avg", {1: "to_microseconds(CAST(avg(epoch_us({0})) AS BIGINT))"}),
    "kql_avgif_timespan": (
        "avgif",
        {2: "to_microseconds(CAST(avg(epoch_us({0})) FILTER (WHERE {1}) AS BIGINT))"},
    ),
    # what a rewritten query asks for: the value beside the largest or smallest, in the order of the rows
    "kql_at_max": (None, {2: "(arg_max({{'v': {1}}}, {0}))['v']"}),
    "kql_at_min": (None, {2: "(arg_min({{'v': {1}}}, {0}))['v']"}),
    "kql_ordered_list": (
        "list",
        {n: _list(_THERE, "{1}" if n == 2 else _MOST, ' ORDER BY "kql row"') for n in (1, 2)},
    ),
    "kql_ordered_set": ("set", {n: _set(_THERE, "{1}" if n == 2 else _MOST, ' ORDER BY "kql row"') for n in (1, 2)}),
}
AGGREGATES["makelist"], AGGREGATES["makeset"] = AGGREGATES["make_list"], AGGREGATES["make_set"]
AGGREGATES["make_dictionary"] = AGGREGATES["make_bag"]
