"""The kinds of failure that a user can mend; the text of each is one sentence."""

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What stands in no message of this process: tokens, as they are handed out.
_WITHHELD: set[str] = set()
_SECRETS = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD", "SYSTEM_ACCESSTOKEN")


#: Signs that steer a terminal or turn the text around them: control characters but line ends and tabs, and directions.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Make text from outside safe for a terminal: a name must not clear the screen, nor change what stands beside it.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        With ``\\x1b`` and the like in place of what cannot be seen; line ends and tabs stay.

    Examples
    --------
    >>> print(printable("web-\x1b[31m01\u202e"))
    web-\x1b[31m01\u202e
    """
    return _STEERING.sub(lambda sign: ascii(sign[0])[1:-1], text)


def say(text: object, error: bool = False) -> None:
    """Print a line on standard output, or on standard error; safe where a person watches, raw in a pipe.

    Parameters
    ----------
    text : object
    error : bool
        Whether it goes to standard error.
    """
    import click

    stream = sys.stderr if error else sys.stdout
    click.echo(printable(str(text)) if stream is not None and stream.isatty() else text, err=error)


def withhold(secret: str) -> None:
    """Keep a secret out of every message from now on.

    Parameters
    ----------
    secret : str
    """
    if len(secret) > 7:  # what is shorter is a part of too many words
        _WITHHELD.add(secret)


def withheld(text: str) -> str:
    """Take secrets out of a text: a service or a proxy may tell back what it was sent.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        With ``[withheld]`` in place of each token that was handed out, and of the secrets that azure-identity reads
        from environment variables.

    Examples
    --------
    >>> withhold("eyJ0.secret.x9")
    >>> withheld("you sent Bearer eyJ0.secret.x9")
    'you sent Bearer [withheld]'
    """
    secrets = {value for name in _SECRETS if len(value := os.environ.get(name, "")) > 7} | _WITHHELD
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[withheld]")
    return text


class AmakitError(Exception):
    """The work could not be done: a file, a workspace or an answer is not as it must be.

    The text names what is wrong, the rule that it breaks and what to do next.  The command line prints it
    without a traceback and exits with status 1.  IPython and Jupyter show it without one, too: ``%debug`` starts
    where it was raised, and after ``%xmode Verbose`` (or ``Plain``) whole tracebacks are shown.

    Attributes
    ----------
    place : str
        The line of a query that is meant, with a mark below it; empty where there is none.
    """

    place = ""
    #: With which the command line exits.
    status = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(printable(withheld(text)))

    def _render_traceback_(self):
        """Give the lines that IPython shows instead of a traceback, which is its own name for this method."""
        from IPython import get_ipython

        traceback = getattr(get_ipython(), "InteractiveTB", None)
        if traceback is not None and traceback.mode not in ("Context", "Minimal"):
            return traceback.structured_traceback(type(self), self, self.__traceback__)
        return [f"{type(self).__name__}: {self}", *self.place.splitlines()]


class UsageError(AmakitError, ValueError):
    """The call itself is wrong: a value, a name or an option.  The command line exits with status 2."""

    status = 2


class Silent(UsageError):
    """No machine has reported to a workspace in the window, or none of those that were asked for."""


class OverLimit(AmakitError):
    """All is written, and what was found exceeds a limit that was set.  The command line exits with status 3."""

    status = 3


class Unanswered(AmakitError):
    """The service gave no whole answer this time; to ask again, or for less, may help.

    Attributes
    ----------
    wait : float
        For how many seconds the service asked to be left alone.
    large : str
        ``rows`` when the answer had too many, ``work`` when it was too much to read; otherwise empty.
    """

    def __init__(self, text: str, wait: float = 0.0, large: str = "") -> None:
        super().__init__(text)
        self.wait, self.large = wait, large


class Refused(AmakitError):
    """The service does not let this user read a table, or not in this way; others may well be read."""


class Absent(Refused):
    """The service knows no table of this name."""


class Closed(AmakitError):
    """One way to the service is closed to this user, or from here; another may be open."""


def nearest(name: str, known: "Iterable[str]", limit: int = 3) -> str:
    """Say which of the known names are closest to one that is not known.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        The names that exist.
    limit : int
        How many names to offer at most.

    Returns
    -------
    str
        ``"the nearest are 'a', 'b'"``, or what exists where nothing is near; made to end a sentence.

    Examples
    --------
    >>> nearest("strat", ["start", "end", "machines"])
    "the nearest is 'start'"
    >>> nearest("zzz", ["start", "end"])
    "there are 'end', 'start'"
    >>> nearest("zzz", [])
    'there are none'
    >>> nearest("web-O1", ["web-16", "web-01.corp.contoso.example"])  # a domain that was left out is no difference
    "the nearest are 'web-16', 'web-01.corp.contoso.example'"
    """
    from difflib import get_close_matches

    known = list(known)
    forms: dict[str, list[str]] = {}
    for one in known:
        for form in {one.lower(), one.lower().partition(".")[0]}:
            forms.setdefault(form, []).append(one)
    close = [one for form in get_close_matches(name.lower(), forms, n=limit, cutoff=0.5) for one in forms[form]]
    close = list(dict.fromkeys(close))[:limit]
    if close:
        verb = "is" if len(close) == 1 else "are"
        return f"the nearest {verb} " + ", ".join(repr(k) for k in close)
    if not known:
        return "there are none"
    some = sorted(set(known))
    more = f" and {len(some) - 10} more" if len(some) > 10 else ""
    return "there are " + ", ".join(repr(k) for k in some[:10]) + more
