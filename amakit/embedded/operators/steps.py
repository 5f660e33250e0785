"""A query of a user's own, in steps: views for what duckdb-kql has not, and one last text that it has."""

import copy
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from amakit.errors import AmakitError, nearest
from amakit.kql.text import bare, calls, named, operator_of, quoted, split, tokens, with_plain_literals

#: What keeps the order of the rows, and what makes one.
_KEEPS = {"where", "filter", "extend", "take", "limit", "project", "project-away", "project-keep", "project-rename",
          "project-reorder", "parse", "parse-where", "mv-expand", "mvexpand", "as", "serialize", "render"}  # fmt: skip
_ORDERS = {"sort", "order", "top", "serialize"}
_BEGINS = {"union", "search", "find", "datatable", "print", "materialize", "externaldata", "evaluate"}
ROW = "kql row"


class Relation(NamedTuple):
    """A table, or a view of a step: its name and the KQL type of each column."""

    name: str
    columns: dict[str, str]

    def texts(self) -> list[str]:
        """Give the columns that are text, or may be."""
        return [column for column, kind in self.columns.items() if kind in ("string", "dynamic", "guid")]


class Function(NamedTuple):
    """A function of ``let`` that gives a table."""

    parameters: list[tuple[str, bool, str]]  # name, whether it is a table, default
    body: str


def refuse(what: str, hint: str = "") -> AmakitError:
    """Say that something is KQL, but not here."""
    more = f"; {hint}" if hint else ""
    return AmakitError(f"valid KQL that the embedded engine does not have: {what}{more}")


class Steps:
    """What is known while a query is translated.

    Parameters
    ----------
    run : callable
        Runs SQL and gives a cursor.
    translate : callable
        Gives the SQL of a KQL text that duckdb-kql has, from the text and the columns of each table.
    tables : dict of str to dict of str to str
        KQL type by column, by table.
    """

    def __init__(self, run: Callable, translate: Callable, tables: dict[str, dict[str, str]]) -> None:
        self.run, self._translate = run, translate
        self.tables, self.relations = frozenset(tables), dict(tables)
        self.lets: dict[str, str] = {}
        self.bound: dict[str, str] = {}  # a name of a let -> the table or view that it stands for
        self.views: list[str] = []  # lets that union *, search and find look into
        self.functions: dict[str, Function] = {}
        self.made: list[tuple[str, str]] = []
        self.words: frozenset[str] = frozenset()

    # -- a whole text -------------------------------------------------------------------------------------

    def whole(self, text: str) -> str:
        """Give the SQL of a query; its views are there until `drop`."""
        text = with_plain_literals(text)
        self.words = frozenset(t.word for t in tokens(text) if t.kind == "name")
        return self.sql(self.statements(text))

    def drop(self) -> None:
        """Drop the views again."""
        while self.made:
            kind, name = self.made.pop()
            self.run(f'DROP {kind} IF EXISTS "{name}"')

    def statements(self, text: str) -> str:
        """Take the ``let`` statements of a text in, and give its query."""
        *before, query = [part for part in split(text, ";") if part.strip()] or [""]
        for statement in before:
            word, rest = operator_of(statement)
            if word == "let":
                self._let(rest)
            elif word == "set":
                self.lets.setdefault(f"set {len(self.lets)}", statement.strip())
            elif word == "declare":
                self.lets.setdefault("declare", statement.strip())
            else:
                raise refuse(
                    "several queries in one text" if word not in ("alias", "restrict") else word,
                    "run them one after the other",
                )
        return self.pipeline(query)

    def _let(self, text):
        name, value = named(text)
        name = bare(name)
        function = re.match(r"(?:view\s*)?(?=\()", value)
        is_view = value.startswith("view")
        words = tokens(value[function.end() :]) if function else []
        closing = next((i for i, t in enumerate(words) if t.depth == 0 and t.word == ")"), None)
        if function and closing is not None and len(words) > closing + 1 and words[closing + 1].word == "{":
            value = value[function.end() :]
            declared = _parameters(value[1 : words[closing].start])
            body = value[words[closing + 1].end : value.rindex("}")].strip().rstrip(";")
            if any(table for _, table, _ in declared) or self.is_table(split(body, ";")[-1]):
                self.functions[name] = Function(declared, body)
                if not declared:  # a view, which may be named without brackets
                    self.bind(name, self._call(name, ""))
                    self.views += [name] if is_view else []
                return
            self.lets[name] = f"let {quoted(name)} = {_small_changes(value)};"
        elif self.is_table(value):
            self.bind(name, self.relation(self.pipeline(value)))
        else:
            self.lets[name] = f"let {quoted(name)} = {self.scalar(value)};"

    def bind(self, name: str, relation: Relation) -> None:
        """Let a name stand for a relation."""
        self.lets[name] = f"let {quoted(name)} = {quoted(relation.name)};"
        self.relations[name] = relation.columns
        self.bound[name] = relation.name

    def is_table(self, text: str) -> bool:
        """Say whether a text is a table, not a value."""
        words = tokens(text)
        if not words:
            return False
        if any(t.depth == 0 and t.word == "|" for t in words) or words[0].word in _BEGINS:
            return True
        if words[0].word == "range" and len(words) > 1 and words[1].word != "(":
            return True
        if words[0].word == "(" and words[-1].word == ")" and words[-1].depth == 0:
            return self.is_table(text[words[0].end : words[-1].start])
        if len(words) > 1 and words[1].word == "(" and words[-1].depth == 0 and words[-1].word == ")":
            return words[0].word in self.functions or words[0].word == "table"
        return bare(text) in self.relations and (len(words) == 1 or words[0].word == "[")

    # -- a pipeline ---------------------------------------------------------------------------------------

    def pipeline(self, text: str) -> str:
        """Give a pipeline as a text that duckdb-kql has, after making views of what it has not."""
        from amakit.embedded.supported import OPERATORS

        source, *operators = split(text, "|")
        current = self.source(source)
        ordered = operator_of(source)[0] == "range"
        for operator in operators:
            name, rest = operator_of(operator)
            rest = _with_ingestion_named(rest) if name in ("project", "extend", "summarize") else rest
            rest = (
                rest if name in ("partition", "mv-apply", "mvapply", "invoke") else self.scalar(rest)
            )  # they run theirs anew
            if name in OPERATORS:
                current = OPERATORS[name](self, current, rest, ordered)
            elif name != "render":
                current = f"{current}\n| {name} {rest}"
            ordered = name in _ORDERS or (ordered and name in _KEEPS)
        return current

    def source(self, text: str) -> str:
        """Give what a pipeline begins with."""
        from amakit.embedded.supported import SOURCES

        text = text.strip()
        name, rest = operator_of(text)
        words = tokens(text)
        if not words:
            raise AmakitError("the query is empty where a table must stand; write the name of a table before the bar")
        if words[0].word == "(" and words[-1].word == ")" and words[-1].depth == 0:
            return self.pipeline(text[words[0].end : words[-1].start])
        if name in SOURCES and (name not in self.relations or len(words) > 1):
            return SOURCES[name](self, rest)
        if len(words) > 1 and words[0].word == "materialize":
            inner = self.pipeline(text[words[1].end : words[-1].start])
            return quoted(self.relation(inner, as_table=True).name)
        if words[0].word in ("workspace", "app", "cluster", "database", "resource") and words[1:2]:
            raise refuse(f"{words[0].word}()", "a workspace on this machine is one database; name the table alone")
        if words[0].word == "table" and len(words) == 4 and words[2].kind == "text":
            text = words[2].word.strip("\"'")
        if words[0].word == "print":
            return self._print(self.scalar(text))
        called = next(((n, a) for n, a, start, _ in calls(text, self.functions) if start == words[0].start), None)
        if called:
            return self.scalar(text)
        if (words[0].kind == "name" and len(words) == 1) or (words[0].word == "[" and len(words) == 3):
            self.known(bare(text))
            return quoted(bare(text))
        return self.scalar(text)

    def _print(self, text):
        from amakit.embedded.operators.rewrites import OPERATORS, several_columns

        if several_columns(text) or any(calls(text, {"column_ifexists", "columnifexists"})):
            return OPERATORS["project"](self, "(print kql_nothing = 0)", text.partition("print")[2], False)
        return text

    def known(self, name: str) -> Relation:
        """Give the relation of a name.

        Raises
        ------
        AmakitError
            When there is none; the nearest names are given.
        """
        if name not in self.relations:
            other = next((n for n in self.relations if n.lower() == name.lower()), None)
            if other:
                raise AmakitError(
                    f"there is no table {name!r}; names are told apart by case in Log Analytics: {other!r} is one"
                )
            raise AmakitError(f"there is no table {name!r}; {nearest(name, self.tables)}")
        return Relation(self.bound.get(name, name), self.relations[name])

    def every_table(self) -> list[str]:
        """Give the names of the tables and of the query's own views."""
        return sorted(self.tables) + self.views

    def scalar(self, text: str) -> str:
        """Give an operator's text with the pipelines inside its brackets as texts that duckdb-kql has."""
        while True:
            for name, given, start, end in calls(text, self.functions):
                text = text[:start] + quoted(self._call(name, given).name) + text[end:]
                break
            else:
                break
        words, changed = tokens(text), []
        stack: list[Any] = []
        for i, token in enumerate(words):
            if token.kind == "sign" and token.word == "(":
                stack.append((token, i))
            elif token.kind == "sign" and token.word == ")" and stack:
                opened, at = stack.pop()
                inner = text[opened.end : token.start]
                if self._is_pipeline(words[at + 1 : i]):
                    changed = [c for c in changed if c[0] < opened.end]
                    before = words[at - 1].word if at else ""
                    made = self.pipeline(inner)
                    if before == "materialize":
                        made = quoted(self.relation(made, as_table=True).name)
                    changed.append((opened.end, token.start, made))
        for start, end, made in reversed(changed):
            text = text[:start] + made + text[end:]
        return _small_changes(text)

    def _is_pipeline(self, words):
        if not words:
            return False
        depth = words[0].depth
        begins = words[0].word in _BEGINS - {"evaluate"} and len(words) > 1 and words[1].word != "="
        return begins or any(t.depth == depth and t.word == "|" and t.kind == "sign" for t in words)

    def _call(self, name, given):
        function, inner = self.functions[name], copy.copy(self)
        inner.lets, inner.functions = dict(self.lets), {k: v for k, v in self.functions.items() if k != name}
        inner.relations, inner.bound = dict(self.relations), dict(self.bound)
        values = [part.strip() for part in split(given, ",")] if given.strip() else []
        for i, (parameter, table, default) in enumerate(function.parameters):
            value = values[i] if i < len(values) else default
            if not value:
                raise AmakitError(f"{name}() needs a value for {parameter!r}; give it in the brackets")
            if table:
                given_table = self.relation(self.pipeline(value))
                inner.relations[given_table.name] = given_table.columns
                inner.bind(parameter, given_table)
            elif value != parameter:
                if any(t.word == parameter for t in tokens(value)):
                    value = f"toscalar({self.relation(f'print {value}').name})"
                inner.lets[parameter] = f"let {quoted(parameter)} = {value};"
        made = inner.relation(inner.statements(function.body))
        self.relations[made.name] = made.columns
        return made

    # -- relations ----------------------------------------------------------------------------------------

    def sql(self, text: str) -> str:
        """Give the SQL of a text that duckdb-kql has."""
        return self._translate(self._with_lets(text), self.relations)

    def relation(self, text: str, as_table: bool = False) -> Relation:
        """Make a view of a text, so that its columns and their types are known."""
        if bare(text.strip()) in self.relations and not as_table:
            return self.known(bare(text.strip()))
        return self.relation_of_sql(self.sql(text), as_table)

    def relation_of_sql(self, sql: str, as_table: bool = False) -> Relation:
        """Make a view of SQL."""
        from duckdb_kql.types import kusto_type

        name = f"kql_step_{len(self.made) + 1}"
        kind = "TABLE" if as_table else "VIEW"
        self.run(f'CREATE TEMP {kind} "{name}" AS {sql}')
        self.made.append((kind, name))
        described = self.run(f'DESCRIBE "{name}"').fetchall()
        relation = Relation(name, {column: kusto_type(kind) for column, kind, *_ in described})
        self.relations[name] = relation.columns
        return relation

    def in_order(self, text: str) -> Relation:
        """Make a table of a text whose rows have an order, with their numbers in a hidden column."""
        table = self.relation(text, as_table=True)
        return self.relation_of_sql(f'SELECT *, rowid AS "{ROW}" FROM "{table.name}"')

    def without_null_text(self, text: str) -> str:
        """Let text that an outer join or a union left out be empty: KQL has no null text."""
        relation = self.relation(text)
        texts = [column for column, kind in relation.columns.items() if kind == "string"]
        if not texts:
            return quoted(relation.name)
        cells = ", ".join(f"coalesce({sql_name(c)}, '') AS {sql_name(c)}" for c in texts)
        return self.relation_of_sql(f'SELECT * REPLACE ({cells}) FROM "{relation.name}"').name

    def _with_lets(self, text):
        needed, queue = set(), [text]
        while queue:
            for token in tokens(queue.pop()):
                name = token.word.strip("\"'") if token.kind == "text" else token.word
                if name in self.lets and name not in needed:
                    needed.add(name)
                    queue.append(self.lets[name].partition("=")[2])
        always = [s if s.endswith(";") else f"{s};" for n, s in self.lets.items() if n == "declare" or n[:4] == "set "]
        return "\n".join([*always, *(s for n, s in self.lets.items() if n in needed), text])


def sql_name(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _parameters(text):
    found = []
    for part in split(text, ","):
        if not part.strip():
            continue
        name, _, rest = part.strip().partition(":")
        kind, _, default = rest.partition("=")
        found.append((bare(name.strip()), kind.strip().startswith("("), default.strip()))
    return found


def _with_ingestion_named(text):
    """Give a column of ingestion_time() alone the name that it has in KQL."""
    parts = []
    for part in split(text, ","):
        by = re.search(r"(?:^|.*\s)by\s", part, re.DOTALL)
        before, last = (part[: by.end()], part[by.end() :]) if by else ("", part)
        alone = re.fullmatch(r"\s*(?:(\w+)\s*\(\s*)?ingestion_time\s*\(\s*\)\s*(\))?\s*", last)
        if alone and bool(alone[1]) == bool(alone[2]):
            last = f" ['{alone[1] + '_' if alone[1] else ''}$IngestionTime'] = {last.strip()}"
        parts.append(before + last)
    return ",".join(parts)


def _small_changes(text):
    """Put what duckdb-kql has in place of what it reads wrongly or not at all."""
    words = tokens(text)
    for before, token, after in reversed(list(zip([None, *words], words, [*words[1:], None], strict=False))):
        is_call = after is not None and after.word == "("
        if token.kind == "name" and token.word == "table" and not is_call and not (before and before.word == "="):
            text = f"{text[: token.start]}['table']{text[token.end :]}"
        if token.word == "." and after is not None and after.word == "[" and after.start == token.end:
            text = text[: token.start] + text[token.end :]
    while True:
        for name, given, start, end in calls(text, {"extract", "extract_json", "extractjson", "ingestion_time"}):
            if name == "ingestion_time":
                text = f"{text[:start]}_TimeReceived{text[end:]}"
                break
            parts = [part.strip() for part in split(given, ",")]
            last = 3 if name == "extract" else 2
            kind = re.fullmatch(r"typeof\s*\(\s*(\w+)\s*\)", parts[last]) if len(parts) == last + 1 else None
            if kind:
                to = {"date": "datetime", "boolean": "bool", "double": "real"}.get(kind[1], kind[1])
                text = f"{text[:start]}to{to}({name}({', '.join(parts[:last])})){text[end:]}"
                break
        else:
            return text
