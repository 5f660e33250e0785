r"""In which form a column of dates is written: decided by all its rows, or not at all.

Each form turns a date into ``year-month-day hours:minutes:seconds.fraction AM|PM``, which DuckDB reads strictly.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amakit.errors import AmakitError, UsageError

#: What ``--date-format`` may say.
ORDERS = ("day-first", "month-first")
_YEAR = r"((?:19|20)\d\d)"  # a year of another calendar, 2569, is none
_CLOCK = (
    r",?(?: (?:at|um|klo|kl\.))?[ T]?(?:([AP]M) ?)?(\d{1,2}:\d\d:\d\d)(?:[.,](\d{1,9}))?(?: ?([AP]M))?"
    r"(?: ?(?:Z|UTC|GMT|\+00:?00))?$"
)
#: Hours, fraction and half of the day, from the groups of `_CLOCK`; the fraction may be missing.
_TIME = r" \5.\60 \4\7"


@dataclass(frozen=True)
class DateForm:
    """One way of writing a date.

    Attributes
    ----------
    name : str
    example : str
        13 May 2026, 1:13:30.734 in the morning.
    pattern, iso : str
        What it looks like, and how its groups become year, month and day.
    order : str
        ``day-first`` or ``month-first`` where the same text could be read both ways; else empty.
    """

    name: str
    example: str
    pattern: str
    iso: str
    order: str = ""


ISO = DateForm("ISO 8601", "2026-05-13T01:13:30.734Z", "", "")
FORMS = (
    ISO,
    DateForm("year first", "2026/5/13 1:13:30.734", rf"^{_YEAR}[-/.] ?(\d{{1,2}})[-/.] ?(\d{{1,2}})\.?{_CLOCK}",
             rf"\1-\2-\3{_TIME}"),
    DateForm("year first, in signs", "2026年5月13日 1:13:30.734",
             rf"^{_YEAR}[年년] ?(\d{{1,2}})[月월] ?(\d{{1,2}})[日일]{_CLOCK}",
             rf"\1-\2-\3{_TIME}"),
    DateForm("day first, with points", "13.05.2026, 01:13:30,734", rf"^(\d{{1,2}})\. ?(\d{{1,2}})\. ?{_YEAR}{_CLOCK}",
             rf"\3-\2-\1{_TIME}"),
    DateForm("day first", "13/05/2026, 1:13:30.734 am", rf"^(\d{{1,2}})[/-](\d{{1,2}})[/-]{_YEAR}{_CLOCK}",
             rf"\3-\2-\1{_TIME}", "day-first"),
    DateForm("month first", "5/13/2026, 1:13:30.734 AM", rf"^(\d{{1,2}})[/-](\d{{1,2}})[/-]{_YEAR}{_CLOCK}",
             rf"\3-\1-\2{_TIME}", "month-first"),
    DateForm("month in words", "13 May 2026 01:13:30.734",
             rf"^(\d{{1,2}})[ -]([A-Z][a-z]{{2}})[a-z]*[ -]{_YEAR}{_CLOCK}",
             rf"\3-\2-\1{_TIME}"),
    DateForm("month in words, first", "May 13, 2026, 1:13:30.734 AM",
             rf"^([A-Z][a-z]{{2}})[a-z]* (\d{{1,2}}), ?{_YEAR}{_CLOCK}",
             rf"\3-\1-\2{_TIME}"),
)  # fmt: skip
#: What is an instant without any order of day and month, and how DuckDB reads it.
_INSTANTS = {
    "milliseconds since 1970": (r"^(?:/Date\()?(\d{13})(?:\)/)?$", "epoch_ms(try_cast({} AS BIGINT))"),
    "JavaScript": (
        r"^[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) ((?:19|20)\d\d) (\d\d:\d\d:\d\d) GMT([+-]\d{4})(?: \(.*\))?$",
        "(try_strptime({}, '%b %d %Y %H:%M:%S %z')::TIMESTAMPTZ)::TIMESTAMP",
    ),
}
#: A browser in American English: no zeros before, a comma, AM in capitals.  Where the day is first (Unicode CLDR:
#: en-001 and its children) the halves of the day are written small.
_AMERICAN = r"^[1-9]\d?/[1-9]\d?/\d{4}, [1-9]\d?:\d\d:\d\d(?:\.\d+)? [AP]M$"
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d.*)?$", re.DOTALL)


def is_iso(text: str) -> bool:
    """Whether a date is written in the form that cannot be mistaken."""
    return bool(_ISO.match(text.strip()))


def read_iso(cell: str) -> str:
    """Give the SQL that reads ISO 8601 and nothing else, to the microsecond; an offset is honoured."""
    whole = f"({cell} LIKE '____-__-__T__:__:__%' OR {cell} LIKE '____-__-__ __:__:__%' OR {cell} LIKE '____-__-__')"
    starts = f"{cell} >= '0' AND {cell} < ':'"
    return f"CASE WHEN {whole} AND {starts} THEN TRY_CAST({cell} AS TIMESTAMPTZ)::TIMESTAMP END"


def read_as(form: DateForm, cell: str) -> str:
    """Give the SQL that reads one form; null where a text is not of it."""
    if form is ISO:
        return read_iso(f"trim({cell})")
    if form.name in _INSTANTS:
        pattern, read = _INSTANTS[form.name]
        groups = r"\1" if form.example.isdigit() else r"\1 \2 \3 \4 \5"
        text = f"regexp_replace({cell}, {_text(pattern)}, {_text(groups)})"
        return f"CASE WHEN regexp_matches({cell}, {_text(pattern)}) THEN {read.format(text)} END"
    iso = f"regexp_replace({_words(cell)}, {_text(form.pattern)}, {_text(form.iso)})"
    noon = f"regexp_replace(trim({iso}), ' 0?0(:\\d\\d:\\d\\d\\.\\d+ [AP]M)$', ' 12\\1')"  # 午前0:13 is 12:13 AM
    formats = ", ".join(f"'%Y-%{month}-%d %{clock}'" for month in "mb" for clock in ("H:%M:%S.%n", "I:%M:%S.%n %p"))
    matches = f"regexp_matches({_words(cell)}, {_text(form.pattern)})"
    return f"CASE WHEN {matches} THEN try_strptime({noon}, [{formats}]) END"


#: Forms that cannot be mistaken for another and are told by their first sign.
INSTANTS = (
    DateForm("milliseconds since 1970", "1778634810734", *_INSTANTS["milliseconds since 1970"]),
    DateForm("JavaScript", "Wed May 13 2026 01:13:30 GMT+0000 (Coordinated Universal Time)", *_INSTANTS["JavaScript"]),
)


def _spaces(cell):
    """Make every kind of space that browsers write a plain one, and take marks of direction away."""
    plain = f"regexp_replace({cell}, '[\\x{{a0}}\\x{{202f}}\\x{{2009}}]', ' ', 'g')"
    return f"trim(regexp_replace({plain}, '[\\x{{200e}}\\x{{200f}}]', '', 'g'))"


def _words(cell):
    """Write the halves of the day as AM and PM, whatever their language."""
    text = _spaces(cell)
    for word, pattern in (
        ("AM", r"오전|午前|上午|\b[Aa]\.? ?[Mm]\b\.?"),
        ("PM", r"오후|午後|下午|\b[Pp]\.? ?[Mm]\b\.?"),
    ):
        text = f"regexp_replace({text}, {_text(pattern)}, '{word}')"
    return text


def _text(value):
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Column:
    """What a pass over one column of dates showed: how many rows each form does not fit."""

    name: str
    rows: int
    misses: dict  # name of the form -> rows that are not of it
    differing: int  # rows which day first and month first read as different instants
    american: bool  # whether each row is as a browser in American English writes it
    example: str

    @property
    def shape(self) -> str:
        """Give what its writer's settings show themselves in: signs, spaces, the halves of the day."""
        return re.sub(r"(?<=[ap])m", "", re.sub(r"\d+", "9", self.example)).replace("PM", "AM").replace("p", "a")

    def fitting(self) -> list[DateForm]:
        """Give the forms that all rows fit; month first alone where only an American browser writes so."""
        fits = [form for form in (*FORMS, *INSTANTS) if not self.misses[form.name]]
        if self.american and any(form.order == "month-first" for form in fits):
            return [form for form in fits if form.order != "day-first"]
        return fits[:1] if not self.differing else fits


def survey_columns(run: Callable, relation: str, columns: dict[str, str]) -> list[Column]:
    """Look once at all rows of some columns of dates.

    Parameters
    ----------
    run : callable
        Runs SQL and gives a cursor.
    relation : str
    columns : dict of str to str
        Usual name -> SQL of its text, null where there is none.

    Returns
    -------
    list of Column
        Those that hold anything.
    """
    parts, forms = [], (*FORMS, *INSTANTS)
    day, month = (next(form for form in FORMS if form.order == order) for order in ORDERS)
    for text in columns.values():
        parts.append(f"count({text})")
        parts += [f"count(*) FILTER ({text} IS NOT NULL AND ({read_as(form, text)}) IS NULL)" for form in forms]
        parts.append(f"count(*) FILTER (({read_as(day, text)}) <> ({read_as(month, text)}))")
        parts.append(f"count(*) FILTER (NOT regexp_matches({_spaces(text)}, {_text(_AMERICAN)}))")
        parts.append(f"min({text})")
    row, each = run(f"SELECT {', '.join(parts)} FROM {relation}").fetchone(), len(forms) + 4
    cells = [row[n : n + each] for n in range(0, len(row), each)]
    return [
        Column(name, rows, {form.name: n for form, n in zip(forms, misses, strict=True)}, differing, not strange, least)
        for name, (rows, *misses, differing, strange, least) in zip(columns, cells, strict=True)
        if rows
    ]


def settle(columns: Iterable[Column], others: Iterable[Column], date_format: str = "") -> dict[str, DateForm]:
    """Choose the form of each column of a file.

    Parameters
    ----------
    columns : iterable of Column
        Of one file.
    others : iterable of Column
        Of all files of the folder: one of the same shape may show which order its writer uses.
    date_format : str
        ``day-first`` or ``month-first`` settles what nothing else does.

    Returns
    -------
    dict of str to DateForm
        A column that no form fits wholly gets the one that fits most of its rows; the others will be refused.

    Raises
    ------
    AmakitError
        When both orders fit and nothing settles it.
    """
    columns, others, chosen = list(columns), list(others), {}
    for column in columns:
        fits = column.fitting()
        if not fits:
            chosen[column.name] = min((*FORMS, *INSTANTS), key=lambda form: column.misses[form.name])
            continue
        if len(fits) > 1:
            shown = (orders for group in (columns, others) if (orders := _orders(column, group)))
            orders = next(shown, {date_format})
            if len(orders) > 1 or not orders & set(ORDERS):
                raise AmakitError(
                    f"column {column.name!r} holds dates such as {column.example!r}, which may have the day first or "
                    "the month first, and no row settles it; say which with --date-format day-first or "
                    "month-first, or set the portal's language and region to one that writes 2026-05-13"
                )
            fits = [form for form in fits if form.order in orders]
        chosen[column.name] = fits[0]
    return chosen


def _orders(column, group):
    """Give the orders that columns of the same shape show beyond doubt."""
    sure = (c.fitting() for c in group if c.shape == column.shape)
    return {fits[0].order for fits in sure if len(fits) == 1} & set(ORDERS)


def why_not(text: str) -> str:
    """Say why a text is no instant, in words that follow "it"; empty where nothing is known.

    Examples
    --------
    >>> why_not("5/10/26 1:13")
    'has a year of two digits, as a spreadsheet or a short date form leaves it; export again without opening the file \
there'
    >>> why_not("yesterday")
    ''
    """
    opened = "export again without opening the file there"
    if re.match(r"(?:\d{1,2}[-/.] ?\d{1,2}[-/.] ?|\d{1,2}[ -][A-Za-z]{3}[ -])\d{2}(?!\d)", text):
        return f"has a year of two digits, as a spreadsheet or a short date form leaves it; {opened}"
    if re.match(r"\d{1,2}:\d\d(?:[.,]\d+)?$", text):
        return f"has only minutes and seconds, as a spreadsheet shows a time; {opened}"
    if re.match(r"\d{5}(?:[.,]\d+)?$", text):
        return f"is a spreadsheet's number of a day; {opened}"
    if re.search(r"\d[^:\d]+\d{1,2}:\d\d(?: ?[AaPp]\.?[Mm]\.?)?$", text) and re.search(r"\d{4}", text):
        return f"has lost its seconds, as a spreadsheet saves it; {opened}"
    if re.search(r"\b(?:25|26)\d\d\b", text):
        return "has a year of another calendar; set the portal's language and region to English and export again"
    return ""


def checked(date_format: str) -> str:
    """Give the order that a user names.

    Raises
    ------
    UsageError
        When it is none.
    """
    if date_format and date_format not in ORDERS:
        raise UsageError(f"date format {date_format!r} is none; give day-first or month-first, or leave it out")
    return date_format
