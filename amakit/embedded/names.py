"""What is KQL, whoever runs it: the names of its functions, aggregates, plugins and operators."""

import tomllib
from importlib import resources

_NAMES = {
    kind: frozenset(words.split())
    for kind, words in tomllib.loads((resources.files("amakit") / "embedded" / "names.toml").read_text("utf-8")).items()
}
FUNCTIONS, AGGREGATES, PLUGINS = _NAMES["functions"], _NAMES["aggregates"], _NAMES["plugins"]
OPERATORS, TYPES = _NAMES["operators"], _NAMES["types"]
