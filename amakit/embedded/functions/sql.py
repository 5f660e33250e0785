"""Scalar functions of KQL as SQL, by how many arguments they have."""

_SERIALIZED = 'OVER (ORDER BY "kql row")'
_UP_TO_HERE = 'ORDER BY "kql row" ROWS UNBOUNDED PRECEDING'
#: How a value that may be text is given where there is no row: KQL has no null text.
_NO_NULL_TEXT = "CASE WHEN typeof({0}) = 'VARCHAR' AND {1} IS NULL THEN '' ELSE {1} END"


def _neighbour(sql):
    return {
        1: _NO_NULL_TEXT.format("{0}", f"{sql}({{0}}) {_SERIALIZED}"),
        2: _NO_NULL_TEXT.format("{0}", f"{sql}({{0}}, {{1}}) {_SERIALIZED}"),
        3: f"{sql}({{0}}, {{1}}, {{2}}) {_SERIALIZED}",
    }


_DAY = "make_timestamp(CAST({0} AS BIGINT), CAST({1} AS BIGINT), CAST({2} AS BIGINT), 0, 0, 0)"
_DATETIME = (
    "make_timestamp(CAST({{0}} AS BIGINT), CAST({{1}} AS BIGINT), CAST({{2}} AS BIGINT), CAST({{3}} AS BIGINT), "
    "CAST({{4}} AS BIGINT), floor(CAST({} AS DOUBLE) * 1000000) / 1000000)"
)
_TIMESPAN = (
    "(to_days(CAST({} AS INTEGER)) + to_hours(CAST({} AS BIGINT)) + to_minutes(CAST({} AS BIGINT)) "
    "+ to_microseconds(CAST(CAST({} AS DOUBLE) * 1000000 AS BIGINT)))"
)
#: Of an int as 32 bits, of a long as 64.
_HEX = (
    "lower(CASE typeof({0}) WHEN 'INTEGER' THEN to_hex(CAST({0} AS BIGINT) & 4294967295) "
    "ELSE to_hex(CAST({0} AS BIGINT)) END)"
)
#: Function -> number of arguments -> SQL; {0} is the first argument, {all} are all of them, with commas.
FORMS: dict[str, dict] = {
    # text
    "replace": {3: "regexp_replace({2}, {0}, {1}, 'g')"},  # the old name of replace_regex, in its old order
    "strrep": {
        2: "repeat(CAST({0} AS VARCHAR), least({1}, 1024))",
        3: "array_to_string(list_transform(generate_series(1, least({1}, 1024)), lambda _: CAST({0} AS VARCHAR)), {2})",
    },
    "notempty": {1: "({0} IS NOT NULL AND CAST({0} AS VARCHAR) <> '')"},
    "array_strcat": {2: "list_aggregate(CAST({0} AS VARCHAR[]), 'string_agg', {1})"},
    "kql_any_text": {"any": "concat_ws(chr(10), {all})"},
    "string_size": {1: "octet_length(encode({0}))"},
    "isascii": {1: "regexp_full_match({0}, '[\\x00-\\x7F]*')"},
    "tohex": {1: _HEX, 2: f"lpad({_HEX}, CAST(greatest({{1}}, length({_HEX})) AS INTEGER), '0')"},
    "isutf8": {1: "({0} IS NOT NULL)"},
    "new_guid": {0: "uuid()"},
    "rand": {
        0: "random()",
        1: "(CASE WHEN {0} IN (0, 1) THEN random() ELSE CAST(floor(random() * {0}) AS BIGINT) END)",
    },
    # types
    "parse_json": {1: "coalesce(TRY_CAST({0} AS JSON), CASE WHEN CAST({0} AS VARCHAR) <> '' THEN to_json({0}) END)"},
    "todecimal": {1: "TRY_CAST({0} AS DECIMAL(38, 17))"},
    "make_datetime": {5: _DATETIME.format("0"), 6: _DATETIME.format("{5}"), 3: _DAY},
    "make_timespan": {
        2: _TIMESPAN.format("0", "{0}", "{1}", "0"),
        3: _TIMESPAN.format("0", "{0}", "{1}", "{2}"),
        4: _TIMESPAN.format("{0}", "{1}", "{2}", "{3}"),
    },
    "around": {3: "({0} BETWEEN {1} - {2} AND {1} + {2})"},
    "bitset_count_ones": {1: "bit_count(CAST({0} AS BIGINT))"},
    "loggamma": {1: "lgamma({0})"},
    "arraylength": {
        1: "(CASE WHEN json_type(to_json({0})) = 'ARRAY' THEN CAST(json_array_length(to_json({0})) AS BIGINT) END)"
    },
    # the row before, the row after, and what adds up on the way
    "prev": _neighbour("lag"),
    "next": _neighbour("lead"),
    "row_number": {
        0: f"row_number() {_SERIALIZED}",
        1: f"(row_number() {_SERIALIZED} + {{0}} - 1)",
        2: '(row_number() OVER (PARTITION BY {1} ORDER BY "kql row") + {0} - 1)',
    },
    "row_cumsum": {
        1: f"sum({{0}}) OVER ({_UP_TO_HERE})",
        2: f"sum({{0}}) OVER (PARTITION BY {{1}} {_UP_TO_HERE})",
    },
    "kql_restarts": {1: f"sum(CASE WHEN {{0}} THEN 1 ELSE 0 END) OVER ({_UP_TO_HERE})"},
    "kql_changes": {
        1: f"CASE WHEN lag({{0}}) {_SERIALIZED} IS DISTINCT FROM {{0}} THEN 1 ELSE 0 END",
        2: 'CASE WHEN lag({0}) OVER (PARTITION BY {1} ORDER BY "kql row") IS DISTINCT FROM {0} THEN 1 ELSE 0 END',
    },
    "kql_first_of": {
        2: "min({0}) OVER (PARTITION BY {1})",
        3: "min({0}) OVER (PARTITION BY {1}, {2})",
    },
    "kql_adds_up": {
        1: f"CAST(sum({{0}}) OVER ({_UP_TO_HERE}) AS BIGINT)",
        2: f"CAST(sum({{0}}) OVER (PARTITION BY {{1}} {_UP_TO_HERE}) AS BIGINT)",
    },
}
FORMS["todynamic"] = FORMS["parsejson"] = FORMS["toobject"] = FORMS["parse_json"]
FORMS["totime"] = {1: "TRY_CAST({0} AS INTERVAL)"}
#: Functions whose column takes the name of the first argument, as KQL does it.
NAME_PRESERVING = frozenset({"bin_at", "todecimal", "parsejson", "toobject"})
