"""What an answer of the Kusto service means: whole, too large, refused, and what a person can do."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype, is_string_dtype

from amakit.errors import Absent, AmakitError, Closed, Refused, Unanswered
from amakit.service.sign_in.credentials import WRONG_TENANT, first_line

if TYPE_CHECKING:
    from azure.kusto.data import ClientRequestProperties


#: So long may the service work on a query: the most that Log Analytics allows; unasked it gives three minutes.
SERVER_SECONDS = 600
_TOO_LARGE = {
    "text": re.compile(r"status=413|RequestEntityTooLarge|too complex|maximum (query )?text length", re.IGNORECASE),
    "rows": re.compile(
        r"E_QUERY_RESULT_SET_TOO_LARGE|0x80DA0001|0x80DA0003|ResponseSizeError|result set.{0,40} exceeded"
        r"|exceeded the .{0,40}(record|row|size)|truncat",
        re.IGNORECASE,
    ),
    "work": re.compile(
        r"E_RUNAWAY_QUERY|0x80DA0007|E_QUERY_TIMEOUT|E_LOW_MEMORY|QueryTimeout|Request_(Execution)?Timeout|GatewayTimeout"
        r"|query.{0,40}(timed out|execution time ?out)|QueryExecutionTimeout",
        re.IGNORECASE,
    ),
}  # fmt: skip
#: What the service says, and what a person can do about it; the first that fits.
_REFUSED = {
    r"status=3": "sends you elsewhere, where no token follows; check the address and the proxy",
    r"status=40[134].*(private ?link|public ?network|network ?security ?perimeter|Nsp(Validation|Access)|FromPublic)":
        "is open to a private link only; ask from inside that network with "
        "--transport logs, or export its tables into a folder there and analyse the folder",
    r"status=40[134].*(TokenTenant|wrong (issuer|tenant)|(different|another) tenant|InvalidTenant|cross-?tenant)":
        WRONG_TENANT,
    r"status=40[0-4].*(\b(basic|auxiliary)\b.{0,60}\b(plan|tier|logs?|table)|\b(plan|tier)\b.{0,40}\b(basic|auxiliary)\b)":
        "has this table on the Basic or Auxiliary plan, which this way in cannot read; switch the table to the "
        "Analytics plan, or export it into a folder",
    r"status=401|status=403.*(AuthenticationToken|AuthenticationFailed)":
        "did not accept the sign-in; sign in again, for example with 'az login', or choose another way with "
        "--credential",
    r"status=404|status=40[03].*(PathNotFound|(Workspace|Resource|ResourceGroup|Subscription|Database)NotFound)":
        "is not there: deleted, or in another subscription or cloud; check the id and --cloud (a deleted workspace "
        "can be recovered for 14 days)",
    r"status=403": "does not let you read it; ask its owner for the role Log Analytics Data Reader or Log Analytics "
        "Reader, and where tables are protected for Privileged Monitoring Data Reader",
}  # fmt: skip


#: Those of them that may hold for one table alone.
_OF_A_TABLE = re.compile(r"Basic or Auxiliary plan|does not let you read it")
#: Said of a name that stands where a table must; of a column in an expression the service says "scalar expression".
_NO_TABLE = re.compile(r"Failed to resolve table [\w ]*expression named \\*'([^'\\]+)")


@dataclass(frozen=True)
class Said:
    """An error of the service, whichever client brought it.

    Attributes
    ----------
    status : int
        0 where it came in the midst of an answer.
    told : str
        All of its words.
    line : str
        What a person may want to read of them.
    pause : float
        For so many seconds the service wants to be left alone.
    passing : bool
        Whether the service says that it will pass.
    """

    status: int
    told: str
    line: str
    pause: float = 0.0
    passing: bool = False


#: Columns that say when a row is of: they have a value in each row, and it lies in the slice that was asked for.
_INSTANTS = ("TimeGenerated", "Day", "Hour")


def request_properties() -> "ClientRequestProperties":
    """Give the options that go with every query."""
    from azure.kusto.data import ClientRequestProperties

    wanted = ClientRequestProperties()
    # the client sets four minutes of its own, and waits half a minute longer than what is set here
    wanted.set_option(ClientRequestProperties.request_timeout_option_name, timedelta(seconds=SERVER_SECONDS))
    wanted.set_option("results_progressive_enabled", False)  # such an answer is parsed to nothing
    return wanted


def check_frames(frames: list[dict]) -> None:
    """Check the frames of an answer: its client takes one that broke off for a whole one.

    Raises
    ------
    Unanswered

    Examples
    --------
    >>> check_frames([{"FrameType": "DataSetHeader"}, {"FrameType": "DataSetCompletion", "HasErrors": True}])
    Traceback (most recent call last):
    amakit.errors.Unanswered: it broke off and said so at the end
    """
    kinds = [frame.get("FrameType") for frame in frames]
    if any(kind in ("TableHeader", "TableFragment", "TableProgress", "TableCompletion") for kind in kinds):
        raise Unanswered("it answered piece by piece, which the client takes for nothing")
    if kinds[-1:] != ["DataSetCompletion"]:
        raise Unanswered("its answer has no end")
    last = frames[-1]
    told = [frame for frame in frames if frame.get("TableKind") == "QueryCompletionInformation"]
    bad = [row for frame in told for row in frame["Rows"] if _level(frame, row) < 4]
    if last.get("HasErrors") or last.get("Cancelled") or last.get("OneApiErrors") or bad:
        words = json.dumps([last, *bad])
        raise Unanswered("it broke off and said so at the end", large=too_large(words))


def check_answer(
    frame: pd.DataFrame, returns: Mapping[str, str], start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
) -> None:
    """Check that an answer can be that of the query: its columns, their types, and the time that it is about.

    Parameters
    ----------
    frame : pandas.DataFrame
    returns : dict of str to str
        The KQL type of each column that the query gives.
    start, end : pandas.Timestamp, optional
        The slice of time that was asked for.

    Raises
    ------
    Unanswered
        When it is the answer to something else: taken for this one, its rows would become outages.

    Examples
    --------
    >>> check_answer(pd.DataFrame({"Day": ["noon"]}), {"Day": "datetime"})
    Traceback (most recent call last):
    amakit.errors.Unanswered: the column 'Day' of its answer holds no values of the type datetime
    """
    for name, kind in returns.items():
        if name not in frame:
            raise Unanswered(f"its answer has no column {name!r}, so it belongs to another query")
        column = frame[name]
        fits = {
            "datetime": is_datetime64_any_dtype,
            "string": is_string_dtype,
            "guid": is_string_dtype,
            "int": is_numeric_dtype,
            "long": is_numeric_dtype,
            "real": is_numeric_dtype,
        }.get(kind)
        if fits is not None and len(column) and not fits(column):
            raise Unanswered(f"the column {name!r} of its answer holds no values of the type {kind}")
        if name in _INSTANTS and len(column):
            if column.isna().any():
                raise Unanswered(f"the column {name!r} of its answer has rows without a time")
            if start is not None and (column.min() < start.floor("D") or column.max() >= end):
                raise Unanswered(f"its answer has rows of {column.min()} to {column.max()}, which was not asked for")


def refusal(workspace: str, status: int, told: str) -> AmakitError | None:
    """Say what a person can do about a refusal; nothing where it is none that is known.

    Examples
    --------
    >>> refusal("Ops", 400, "'where' operator: Failed to resolve table or column expression named 'App_CL'")
    Absent("Ops has no table 'App_CL'; 'amakit check' lists those that it has")
    """
    if unknown := _NO_TABLE.search(told):
        return Absent(f"{workspace} has no table {unknown[1]!r}; 'amakit check' lists those that it has")
    for pattern, sentence in _REFUSED.items():
        if re.search(pattern, f"status={status} {told}", re.IGNORECASE):
            kind = Refused if _OF_A_TABLE.search(sentence) else Closed if "--transport" in sentence else AmakitError
            return kind(f"{workspace} {sentence} ({error_code(told) or f'status {status}'})")
    return None


def too_large(words: str) -> str:
    """Say which limit of size an error names: ``text`` of the query, ``rows`` of the answer, ``work``, or nothing."""
    return next((kind for kind, pattern in _TOO_LARGE.items() if pattern.search(words)), "")


def _level(frame, row):
    names = [column["ColumnName"] for column in frame["Columns"]]
    level = dict(zip(names, row, strict=False)).get("Level") if isinstance(row, list) else 0
    return 4 if level is None else level


def meaning(workspace: str, said: Said) -> AmakitError:
    """Read an error of the service: ask again, ask for less, or what a person can do."""
    status, told = said.status, said.told
    if large := too_large(f"status={status} {told}"):
        return Unanswered(
            "the query was too long for it" if large == "text" else "the answer was too large for it", large=large
        )
    if status == 429 or "throttl" in told.lower():
        return Unanswered("it was asked too often", said.pause)
    if status in (408, 504):
        return Unanswered("it did not answer in time", said.pause, large="work")
    if status >= 500 or said.passing:
        return Unanswered(f"it answered with status {status} ({said.line[:200]})", said.pause)
    if known := refusal(workspace, status, told):
        return known
    if 200 <= status < 300:
        return Unanswered("it answered with nothing, or with what is no answer of such a service")
    if status == 0 and not re.search(r"Semantic|Syntax|BadRequest|SEM0|SYN0", told):
        return Unanswered(f"it broke off in the midst of its answer ({said.line[:200]})")
    return AmakitError(f"{workspace} did not answer the query: {said.line}; check the query and the address")


def pause(headers: Mapping[str, str]) -> float:
    """Read for how many seconds the service wants to be left alone."""
    text = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        return float(text)
    try:
        until = pd.Timestamp(parsedate_to_datetime(text))
        until = until.tz_localize("UTC") if until.tzinfo is None else until
        return max(0.0, (until - pd.Timestamp.now("UTC")).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def error_code(text: str) -> str:
    """Find the service's own code in what it said; it is what a search or a ticket needs."""
    found = re.search(r"AADSTS\d+", text) or re.search(r'"code"\s*:\s*"([\w.]{3,60})"(?!.*"code")', text)
    return found[found.lastindex or 0] if found else ""


def innermost_message(body: str) -> str:
    """Give the innermost message of an error's body: Log Analytics nests them, and its clients print the outermost.

    Examples
    --------
    >>> innermost_message('{"error": {"code": "Bad", "innererror": {"code": "SEM0100", "message": "no x"}}}')
    'SEM0100 no x'
    """
    try:
        told = json.loads(body)["error"]
        while isinstance(inner := _inner(told), dict):
            told = inner
        return first_line(f"{told.get('code', '')} {told.get('message', '')}".strip())
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _inner(told):
    if "innererror" in told:
        return told["innererror"]
    details = (told.get("information") or {}).get("details")  # the engine's own error, as JSON in a text
    return json.loads(details)["error"] if isinstance(details, str) else None
