"""Pages that are made from the code: columns, queries, public names, charts, and what other tools see.

`write` makes them when Sphinx starts, so that no figure on a page was typed.
"""

import functools
import inspect
import json
import pkgutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import compare
import numpy as np
import pandas as pd
import plotly.graph_objects as go

import amakit
from amakit.charts.colours import COLOURS
from amakit.charts.stills import picture
from amakit.events import verdicts as sources
from amakit.exports.dates import FORMS as DATES
from amakit.exports.dates import INSTANTS
from amakit.exports.forms import FORMS, REFUSED
from amakit.facts.counts import COUNTS
from amakit.kql import catalog
from amakit.schemas import LOST, RESULTS, meanings

HERE = Path(__file__).parent
#: What becomes of a column of dates, by the order of day and month in it.
ORDER = {
    "": "always", "day-first": "where a day is above 12, or nothing but this form fits, or `--date-format` says so",
    "month-first": "the same; as a browser in American English writes it (no zeros, a comma, AM in capitals) always",
}  # fmt: skip
#: The windows of the demo that the pages show.
DEMO = "2026-03-02", "2026-03-16"


def write(folder):
    """Write each page into a folder, and leave alone what has not changed, so that Sphinx reads it only once."""
    folder.mkdir(exist_ok=True)
    pages = {
        "columns": columns,
        "queries": kql,
        "python": names,
        "charts": charts,
        "other_tools": others,
        "scores": scores,
        "exports": exports,
        "embedded": embedded,
        "event_power": event_power,
        "counts": counts,
    }
    for name, page in pages.items():
        path, text = folder / f"{name}.md", page() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    listed = (folder / "python.md").read_text(encoding="utf-8")
    for stale in [path for path in folder.glob("api/*.rst") if f" {path.stem}\n" not in listed]:
        stale.unlink()  # of a name that is public no more


def event_power():
    """Tell how often a loss is said, by rows expected and share lost; 400 seeded draws for each cell."""
    rng, draws, bins = np.random.default_rng(16), 400, 144
    rows = []
    for expected in (5, 10, 20, 50, 100):
        around = rng.poisson(expected, (draws, bins)).astype("float64")
        mean, spread = sources.rate(around.sum(axis=1), (around**2).sum(axis=1), np.full(draws, bins))
        cells = []
        for lost in (0.0, 0.2, 0.5, 0.8, 1.0):
            inside = rng.binomial(rng.poisson(expected, draws), 1 - lost)
            few = sources.tail(inside, mean, spread, (around <= inside[:, None]).mean(axis=1))
            found = pd.DataFrame(
                {
                    "cause": "upgrade",
                    "ongoing": False,
                    "apart": False,
                    "rows_inside": inside,
                    "expected": mean,
                    "spread": spread,
                    "carried": True,
                    "inside_probability": few,
                    "hours_probability": 1.0,
                    "bins": bins,
                    "replayed": False,
                    "stamped": False,
                    "covered": True,
                    "silence_probability": 1.0,
                    "after_probability": 1.0,
                    "before_probability": 1.0,
                    "returned": True,
                    "records_probability": np.nan,
                    "records_whole": False,
                    "outage": range(draws),
                    "data_type": "Syslog",
                }
            )
            said = sources.judge(found)
            cells.append(
                f"{said.isin(LOST).mean():.0%}"
                + (f", {(said == 'recovered').mean():.0%} recovered" if not lost else "")
            )
        rows.append((expected, *cells))
    table = markdown(rows, ["rows expected", "none lost", "20 % lost", "50 %", "80 %", "100 %"])
    figure = go.Figure(
        [
            go.Scatter(
                name=f"{expected} expected",
                x=[0, 20, 50, 80, 100],
                mode="lines+markers",
                y=[float(cell.partition(" %")[0].partition("%")[0]) for cell in cells],
            )
            for expected, *cells in rows
        ]
    )
    figure.update_layout(
        title_text="How often a loss is said to be one",
        template=amakit.charts.theme(),
        colorway=COLOURS[1:6],
        xaxis_title_text="share of the rows that was lost, %",
        yaxis_title_text="said to be a loss, %",
        height=380,
    )
    drawn = picture(json.loads(figure.to_json()), prefix="power").decode("utf-8")
    return f'{table}\n\n```{{raw}} html\n<div class="chart">{drawn}</div>\n```'


@functools.cache
def demo():
    """Analyse the demo fleet once."""
    return amakit.analyze(amakit.connect("demo"), *DEMO)


def markdown(rows, head):
    """Lay out rows as a Markdown table."""
    lines = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(f"| {line} |" for line in lines)


def columns():
    """Tell the columns of the result tables, as the schema does."""
    return "\n\n".join(
        f"## `{table}`\n\n"
        + markdown(
            [(f"`{n}`", types[n], said) for n, said in meanings(table).items()], ["column", "KQL type", "meaning"]
        )
        for table, types in RESULTS.items()
    )


def counts():
    """Tell the numbers of ``facts.json`` that limits may be set to."""
    return markdown([(f"`{name}`", meaning) for name, meaning in COUNTS.items()], ["name", "counts"])


def kql():
    """Show each packaged query: what it answers, what it reads, what it costs, and its text."""
    every = catalog.packaged().values()
    overview = markdown(
        [(f"[`{q.name}`](#{q.name})", q.question, ", ".join(q.reads), q.cost) for q in every],
        ["query", "answers", "reads", "cost"],
    )
    parts = ["# Packaged queries", (HERE / "parts" / "queries.md").read_text(encoding="utf-8"), overview]
    for q in every:
        takes = markdown(
            [(f"`{n}`", kind, said) for n, (kind, said) in q.parameters.items()], ["parameter", "type", "meaning"]
        )
        gives = ", ".join(f"`{name}` {kind}" for name, kind in q.returns.items())
        parts.append(
            f"({q.name})=\n## `{q.name}`\n\n{q.question}\n\n{takes if q.parameters else ''}\n\n"
            f"Gives {gives}.\n\nCost: {q.cost}\n\n```kusto\n{q.text}\n```"
        )
    return "\n\n".join(parts)


def names():
    """List the public names, each with a page of its own that is made from its docstring."""
    public = {name: getattr(amakit, name) for name in amakit.__all__}
    plain = sorted(name for name, thing in public.items() if not isinstance(thing, ModuleType))
    parts = [
        "# Python",
        "`import amakit` costs next to nothing: each name is imported when it is first used.",
        _listed("amakit", plain),
    ]
    for name, module in public.items():
        if isinstance(module, ModuleType):
            parts.append(f"## `amakit.{name}`\n\n{inspect.getdoc(module).splitlines()[0]}")
            if "__all__" in vars(module):
                parts.append(_listed(f"amakit.{name}", module.__all__))
            else:
                found = pkgutil.walk_packages(module.__path__, f"amakit.{name}.")
                homes = [import_module(part.name) for part in found if not part.ispkg]
                parts += [_listed(home.__name__, own) for home in homes if (own := _documented(home))]
    return "\n\n".join(parts)


def _documented(module):
    """List the functions of a module that are for others: those whose arguments and result are explained."""
    own = [
        thing for thing in vars(module).values() if inspect.isfunction(thing) and thing.__module__ == module.__name__
    ]
    return [f.__name__ for f in own if f.__name__[0] != "_" and "\nReturns\n---" in (inspect.getdoc(f) or "")]


def _listed(module, members):
    lines = "\n".join(f"   {module}.{member}" for member in members)
    return f"```{{eval-rst}}\n.. autosummary::\n   :toctree: api\n\n{lines}\n```"


def charts():
    """Draw every chart on the demo fleet."""
    parts = ["# Charts", (HERE / "parts" / "charts.md").read_text(encoding="utf-8")]
    for name in amakit.charts.__all__:
        chart = getattr(amakit.charts, name)
        figure = chart(demo()) if next(iter(inspect.signature(chart).parameters), "") == "analysis" else None
        if hasattr(figure, "to_plotly_json"):
            drawn = picture(json.loads(figure.to_json()), prefix=name).decode("utf-8")
            said = inspect.getdoc(chart).partition("\n\nParameters")[0]
            parts.append(
                f"## `{name}`\n\n{said}\n\n```python\namakit.charts.{name}(found)\n```\n\n"
                f'```{{raw}} html\n<div class="chart">{drawn}</div>\n```'
            )
    return "\n\n".join(parts)


def others():
    """Tell what other tools see of an upgrade of the demo fleet."""
    return compare.page(demo(), markdown)


def exports():
    """List the ways of exporting that are read, those that are refused with their sentences, and the forms of dates."""
    read = [(form.name, f"`{form.how}`") for form in FORMS if not form.refusal]
    refused = [(form.name, form.how, f"FILE {form.refusal}") for form in REFUSED]
    dates = [(form.name, f"`{form.example}`", ORDER[form.order]) for form in (*DATES, *INSTANTS)]
    return "\n\n".join(
        [
            "## What is read",
            markdown(dict.fromkeys(read), ["`amakit check` calls it", "how it is made"]),
            "## What is refused, and with which sentence",
            markdown(refused, ["form", "how it is made", "sentence"]),
            "## How dates are read",
            (HERE / "parts" / "dates.md").read_text(encoding="utf-8"),
            markdown(dates, ["form", "example", "read"]),
        ]
    )


def scores():
    """Show the figures that `tests/scores.py` printed, as two tables: shares that were right, and widths."""
    texts = {
        fleet: (HERE / "figures" / f"scores_{fleet}.txt").read_text(encoding="utf-8").split("\n\n")
        for fleet in ("simulator", "demo")
    }
    read = {fleet: dict(map(_share, blocks[0].splitlines()[1:])) for fleet, blocks in texts.items()}
    rows = [
        (name, target, value, count, *read["demo"][name][1:])
        for name, (target, value, count) in read["simulator"].items()
    ]
    head = ["figure", "asked", "simulator", "of", "`amakit demo`", "of"]
    wide = {fleet: dict(map(_median, blocks[1].splitlines()[1:])) for fleet, blocks in texts.items()}
    widths = [(name, value, wide["demo"][name]) for name, value in wide["simulator"].items()]
    medians = markdown(widths, ["median, seconds", "simulator", "`amakit demo`"])
    return f"{markdown(rows, head)}\n\nHow wide the brackets are, and how far the downtime is off:\n\n{medians}"


def _share(line):
    """Read a line of the scorer's first block: name; target, value of all fleets, number of cases."""
    values, _, count = line.rpartition(" of ")
    return line[:28].strip(), (values[28:36].strip(), values[36:45].strip(), count.strip())


def _median(line):
    """Read a line of its second block: name and value of all fleets."""
    return line[:47].strip(), line[47:56].strip()


def embedded():
    """Tell what KQL the embedded engine has and refuses, and which documented examples the tests run."""
    from amakit.embedded.supported import refused, supported

    examples = json.loads((HERE.parent / "tests" / "embedded" / "documented.json").read_text(encoding="utf-8"))
    tried = Counter(example["page"].removesuffix("-function").removesuffix("-operator") for example in examples)
    here, not_here = supported(), refused()
    rows = [
        (kind, ", ".join(f"`{n}`" for n in sorted(here[kind])), ", ".join(f"`{n}`" for n in sorted(not_here[kind])))
        for kind in here
    ]
    pages = ", ".join(f"{page} ({n})" for page, n in sorted(tried.items()))
    return (
        (HERE / "parts" / "embedded.md")
        .read_text(encoding="utf-8")
        .format(table=markdown(rows, ["", "has", "refuses"]), examples=len(examples), pages=pages)
    )
