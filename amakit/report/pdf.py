"""Printing by a Chromium that is already on the machine; the kit brings none."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from amakit.errors import AmakitError
from amakit.output import temporary_folder

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
#: Where installers put it, below the folders of programs of Windows and macOS.
_PLACES = (
    "Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe",
    "Chromium/Application/chrome.exe", "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge", "Chromium.app/Contents/MacOS/Chromium",
)  # fmt: skip
_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
#: A page of the kit is printed in seconds; one that takes this long never will be.
_SECONDS = 180


def chromium() -> str:
    """Find a Chromium, Chrome or Edge.

    Returns
    -------
    str
        The program that ``AMAKIT_CHROMIUM`` names, or the first of the usual ones that is there.

    Raises
    ------
    AmakitError
        When there is none; the text says what to install.

    Examples
    --------
    >>> os.environ["AMAKIT_CHROMIUM"] = "/nowhere/chrome"
    >>> chromium()
    Traceback (most recent call last):
    amakit.errors.AmakitError: AMAKIT_CHROMIUM names '/nowhere/chrome', which is no program; \
give the path of a Chromium, Chrome or Edge
    >>> del os.environ["AMAKIT_CHROMIUM"]
    """
    named = os.environ.get("AMAKIT_CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise AmakitError(
                f"AMAKIT_CHROMIUM names {named!r}, which is no program; give the path of a Chromium, Chrome or Edge"
            )
        return found
    roots = [os.environ[root] for root in _ROOTS if os.environ.get(root)]
    if sys.platform == "darwin":
        roots += ["/Applications", str(Path.home() / "Applications")]
    places = [str(Path(root) / place) for root in roots for place in _PLACES]
    found = next(filter(None, map(shutil.which, [*_NAMES, *places])), None)
    if found is None:
        raise AmakitError(
            "there is no browser to print a PDF with; install Chromium, Chrome or Edge, or name one in AMAKIT_CHROMIUM"
        )
    return found


def printed(page: str | Path, target: str | Path) -> None:
    """Print a page to a PDF.

    Parameters
    ----------
    page, target : path-like
        The HTML file and the PDF file.

    Raises
    ------
    AmakitError
        When there is no Chromium, or it does not print the page within three minutes.
    """
    program, target = chromium(), Path(target)
    with temporary_folder() as profile:
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={target.resolve()}",
            Path(page).resolve().as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # for root there is no sandbox to be had
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise AmakitError(
                f"{program} did not print the page within {_SECONDS} seconds; print the HTML page by hand"
            ) from error
        except OSError as error:
            raise AmakitError(
                f"{program} cannot be run: {error.strerror}; name another browser in AMAKIT_CHROMIUM"
            ) from error
    if not target.is_file():
        raise AmakitError(
            f"{program} printed nothing and ended with status {done.returncode}; print the HTML page by hand"
        )
    target.write_bytes(_undated(target.read_bytes()))


def _undated(pdf):
    """Take out when a PDF was made.  What is put in is as long as what was there: the offsets in the file stay."""
    pdf = re.sub(rb"(/(?:Creation|Mod)Date ?\(D:)(\d{14})", rb"\g<1>20000101000000", pdf)
    return re.sub(rb"(/ID ?\[)([^\]]*)", lambda m: m[1] + re.sub(rb"[0-9A-Fa-f]", b"0", m[2]), pdf)
