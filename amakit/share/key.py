"""The key of the pseudonyms, which stays with its owner."""

import functools
import os
import secrets
import tempfile
from pathlib import Path

from amakit.errors import AmakitError


def owner_key(path: str | Path | None = None) -> bytes:
    """Read the key that stays with its owner; at first use it is made, for nobody else to read.

    Parameters
    ----------
    path : path-like, optional
        Otherwise what ``AMAKIT_KEY_FILE`` names, or a file in the user's folder of configuration.

    Returns
    -------
    bytes
        At least 32.

    Raises
    ------
    AmakitError
        When the file cannot be read or made, or is too short.

    Examples
    --------
    >>> file = Path(tempfile.mkdtemp()) / "key"
    >>> owner_key(file) == owner_key(file)
    True
    """
    path = Path(path or os.environ.get("AMAKIT_KEY_FILE") or _usual_key_file()).expanduser()
    try:
        key = path.read_bytes() if path.exists() else _made(path)
    except OSError as error:
        raise AmakitError(
            f"the key file {path} cannot be read or made: {error.strerror}; mend it, or name another in AMAKIT_KEY_FILE"
        ) from error
    if len(key) < 32:
        raise AmakitError(
            f"the key file {path} holds {len(key)} bytes where at least 32 are needed; delete it, and a new one is made"
        )
    return key


def _usual_key_file():
    import click

    folder = Path(click.get_app_dir("amakit"))
    # XDG_CONFIG_HOME that is set but empty stands for the current folder, which may be the one that is given away
    return (folder if folder.is_absolute() else Path.home() / ".config" / "amakit") / "pseudonyms.key"


def _made(path):
    """Make the key aside and link it into place: whoever comes second fails to, and reads the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=".key-", dir=path.parent)  # has mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(aside, path)
        except FileExistsError:
            raise
        except OSError:  # exFAT and some network drives know no second name of a file
            with open(path, "xb", opener=functools.partial(os.open, mode=0o600)) as file:
                file.write(Path(aside).read_bytes())
    except FileExistsError:
        pass
    finally:
        Path(aside).unlink()
    return path.read_bytes()
