"""One selection that every view follows: the fleet, a machine, its numbers, a query.

One file, as it is one class: every widget changes the selection, and the selection changes every widget.
"""

import html
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets
import pandas as pd

from amakit import charts
from amakit.errors import AmakitError, UsageError, nearest
from amakit.facts.gather import gather
from amakit.intervals import iso
from amakit.lab.parts import FRAME, STYLE, Eye, Grid, Part, drawn, fenced, half_as_wide, still_chart
from amakit.lab.selection import (
    SPANS,
    Choice,
    chosen,
    filters_of,
    heartbeats_around,
    machine_called,
    machine_keys,
    rows_of_machine,
    settled,
    span,
    values_of,
)
from amakit.prose import explorer
from amakit.prose.language import Language, texts, visible
from amakit.report.parameters import parameters
from amakit.report.tables import Table
from amakit.source.connect import connect

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.source.workspace import Workspace


#: Rows of a table on the screen; the frames have all of them.
_ROWS = 200


class Explorer:
    """The views of one analysis, linked by one selection.

    As the result of a cell it shows all of its parts; each is also an attribute that a cell can show by itself.

    Parameters
    ----------
    analysis : Analysis
    workspace : Workspace, optional
        To ask in KQL, and to analyse another window of.
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told.
    anonymise, allow_unknown : bool
        As `amakit.report.parameters.Parameters` has them, for further analyses.  With pseudonyms no KQL is run: its
        answer would tell names.

    Attributes
    ----------
    scope, fleet, machine, numbers, ask : Part
        Workspace and window; the map of the fleet with its filters; the streams of one machine around an outage; the
        rows behind them; any KQL.
    analysis : Analysis
    choice : Choice
        The selection.
    shown : pandas.DataFrame
        The outages that the filters leave.
    answer : pandas.DataFrame or None
        What the last query gave.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> view = Explorer(found)
    >>> view.choose(cause="machine_stopped")
    >>> set(view.shown["cause"]), view.choice.outage in view.shown.index
    ({'machine_stopped'}, True)
    """

    def __init__(
        self,
        analysis: "Analysis",
        workspace: "Workspace | None" = None,
        language: str = "en",
        timezone: str = "UTC",
        anonymise: bool = False,
        allow_unknown: bool = False,
    ) -> None:
        one = workspace is None or len(workspace.members) == 1  # a query is asked of one
        self.workspace, self._opened = workspace if one else None, False
        self.choice: Choice
        self.answer: pd.DataFrame | None = None
        self._given: dict[str, Any] = {
            "language": language,
            "timezone": timezone,
            "anonymise": anonymise,
            "allow_unknown": allow_unknown,
            "out_dir": "",
        }
        self._says, self._words = texts(language)["explore"], Language(language, timezone)
        self._figures, self._following, self._suggested = {}, False, ""
        self._build()
        self._take(analysis)

    # -- what code calls, and widgets too ---------------------------------------------------------------------

    def choose(self, **changes: object) -> None:
        """Change the selection; every view follows.

        A machine that the filters leave out lifts them.

        Parameters
        ----------
        **changes
            Fields of `Choice`.

        Raises
        ------
        UsageError
            When there is nothing of that kind in the analysis; the selection stays as it was.
        """
        choice = replace(self.choice, **changes)  # type: ignore[arg-type]
        if "machine" in changes and "outage" not in changes:
            choice = replace(choice, outage=None)
        a = self.analysis
        for name, values in values_of(a).items():
            if getattr(choice, name) not in values:
                value = repr(getattr(choice, name))
                raise UsageError(self._says["not here"].format(name=self._says[name], value=value))
        if "machine" in changes and choice.machine not in {(), *machine_keys(chosen(a, choice)[0])}:
            choice = Choice(machine=choice.machine, outage=choice.outage)  # the filters had left it out
        before, self.choice = self.choice, settled(a, choice)
        self._follow(before)

    def analyse(self, workspace: str, start: str, end: str, machines: str | list[str] = "") -> None:
        """Analyse another workspace or window, and show that instead.

        Parameters
        ----------
        workspace : str
            See `amakit.connect`.
        start, end : str
            The window; see `amakit.analyze`.
        machines : str or list of str
            Names or resource ids, parted by commas; all by default.

        Raises
        ------
        AmakitError
            When it cannot be done; the views stay as they were.
        """
        given = parameters(self._given | {"workspace": workspace, "start": start, "end": end, "machines": machines})
        same = self.workspace is not None and workspace == self._named()
        opened = self.workspace if self.workspace is not None and same else connect(workspace)
        before = sum(len(member.log) for member in opened.members)
        for member in opened.members:
            member.watched = lambda records: self._say(
                self._status,
                self._says["asked"].format(
                    n=sum(len(one.log) for one in opened.members) - before, name=records[-1].name
                ),
            )
        try:
            found = given.analyze(opened)
        except AmakitError:
            if not same:
                opened.close()
            raise
        finally:
            for member in opened.members:
                member.watched = None
        if not same:
            self.close()
            self.workspace, self._opened = opened, True
        self._take(found)

    def close(self) -> None:
        """Close the workspace if the explorer opened it; one that was given to it is left to who gave it."""
        if self._opened and self.workspace is not None:
            self.workspace.close()
        self.workspace, self._opened = None, False

    def query(self, kql: str) -> pd.DataFrame:
        """Run any KQL on the workspace, and show its answer.

        Parameters
        ----------
        kql : str

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        AmakitError
            When it cannot be run.
        """
        if self._given["anonymise"]:
            raise UsageError(self._says["no names"])
        if self.workspace is None:
            raise UsageError(self._says["no workspace"])
        self.answer, self._answer.value, self._drawn.children = None, "", ()  # a failure leaves no older answer behind
        self.answer = self.workspace.query(kql)
        self._answer.show(self.answer.head(_ROWS).rename_axis(columns="#"))
        n = len(self.answer)
        self._say(self._asked, self._says["rows"].format(n=f"{n:,}", shown=f"{min(n, _ROWS):,}"))
        self._drawn.children = drawn(self.answer, kql)
        return self.answer

    def look(self) -> None:
        """Turn the charts into widgets; a browser calls this when it shows a part."""
        if not self._figures:
            drawn = {"fleet": self._fleet_figure, "machine": self._machine_figure}
            self._figures = {name: charts.live(half_as_wide(draw())) for name, draw in drawn.items()}
            self._listen()
            self._ring()
            for name, figure in self._figures.items():
                self._places[name].children = [figure]

    def _repr_mimebundle_(self, include=None, exclude=None):
        whole = ipywidgets.VBox([part.widget for part in self._parts()])
        return whole._repr_mimebundle_()

    # -- what is shown ----------------------------------------------------------------------------------------

    def _fleet_figure(self):
        machines, outages = chosen(self.analysis, self.choice)
        return charts.fleet(self.analysis, machines, outages, self._given["language"], self._given["timezone"])

    def _machine_figure(self):
        found, outage = self.analysis, self.choice.outage
        found = found if outage is not None else replace(found, outages=found.outages.iloc[:0])
        return charts.around(found, outage, self._given["language"], self._given["timezone"])

    def _page(self):
        choice = self.choice
        machine = self._known.names.get(choice.machine, "") if choice.machine else ""
        return explorer.explorer(self._known, self._words, *chosen(self.analysis, choice), machine, choice.outage)

    def _cost_section(self):
        return "quiet" if self.choice.outage is None else "around"

    def _outages_table(self):
        return explorer.outages_table(self._known, self.shown, self.choice.outage, _ROWS, self._words)

    def _kql(self):
        outage = self.choice.outage
        return heartbeats_around(None if outage is None else self.analysis.outages.loc[outage])

    # -- widgets ----------------------------------------------------------------------------------------------

    def _build(self):
        """Make the widgets, empty."""
        w, says = ipywidgets, self._says
        wide, style = w.Layout(width="auto", flex="1 1 14rem"), {"description_width": "initial"}

        def field(kind, name, **more):
            return kind(description=says[name], layout=wide, style=style, **more)

        self._fields = {name: field(w.Text, name) for name in ("workspace", "start", "end", "machines")}
        fit = w.Layout(width="auto")
        self._span = field(w.Dropdown, "span")
        self._span.observe(lambda change: self._spanned(change["new"]), "value")
        go = w.Button(description=says["analyse"], button_style="primary", layout=fit)
        self._filters = {name: field(w.Dropdown, name) for name in ("os_type", "cause", "pair")}
        self._machine = field(w.Combobox, "machine", continuous_update=False, ensure_option=False)
        self._outage = field(w.Dropdown, "outage")
        clear = w.Button(description=says["clear"], layout=fit)
        self._text = w.Textarea(layout=w.Layout(width="auto", height="9rem"))
        self._drawn = w.VBox().add_class("amakit-chart")
        run = w.Button(description=says["run"], button_style="primary", layout=fit)
        again = w.Button(description=says["follow"], layout=fit)
        self._data, self._status, self._left, self._cost, self._asked = (w.HTML() for _ in range(5))
        names = {name: says[f"tab {name}"] for name in ("outages", "streams", "events", "sources")}
        self._tables = {name: Grid(title, self._given["language"]) for name, title in names.items()}
        self._answer = Grid(says["answer"], self._given["language"])
        tabs = w.Tab(list(self._tables.values()), titles=list(names.values()))
        tabs.add_class("amakit-numbers")
        self._places = {name: w.VBox().add_class("amakit-chart") for name in ("fleet", "machine")}
        row = w.Layout(flex_flow="row wrap", align_items="center")
        go.on_click(lambda _: self._try(self._status, self._analyse, go))
        clear.on_click(lambda _: self._try(self._left, self.choose, **vars(Choice())))
        run.on_click(lambda _: self._try(self._asked, self.query, run, kql=self._text.value))
        again.on_click(lambda _: self._suggest())
        for name, widget in (*self._filters.items(), ("machine", self._machine), ("outage", self._outage)):
            widget.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        eye = Eye(self.look)
        self.scope = Part(
            w.VBox(
                [w.HTML(STYLE), w.Box([*self._fields.values(), self._span, go], layout=row), self._status, self._data]
            ),
            lambda: {"text/markdown": self._page()["data"]},
        )
        self.fleet = Part(
            w.VBox(
                [
                    w.Box([*self._filters.values(), self._machine, clear], layout=row),
                    self._left,
                    self._places["fleet"],
                    eye,
                ]
            ).add_class("amakit-beside"),
            lambda: still_chart(self._fleet_figure(), self._page()["left"]),
        )
        self.machine = Part(
            w.VBox([w.Box([self._outage], layout=row), self._cost, self._places["machine"], eye]).add_class(
                "amakit-beside"
            ),
            lambda: still_chart(self._machine_figure(), self._page()[self._cost_section()]),
        )
        self.numbers = Part(tabs, lambda: Table(self._outages_table(), self._given["language"])._repr_mimebundle_())
        self.ask = Part(
            w.VBox([self._text, w.Box([run, again], layout=row), self._asked, self._drawn, self._answer]),
            lambda: {"text/markdown": fenced(self._kql())},
        )

    def _parts(self):
        return self.scope, self.fleet, self.machine, self.numbers, self.ask

    def _take(self, analysis):
        """Show an analysis from the beginning."""
        self.analysis = analysis
        self._known = gather(analysis)
        self._rows = dict(zip(machine_keys(analysis.machines), charts.row_names(analysis), strict=True))
        self._names = {key: html.unescape(row) for key, row in self._rows.items()}
        self.choice = settled(analysis, Choice())
        self._say(self._data, self._page().plain("data").replace("\n\n", " "))
        self._offer()
        self._follow(None)

    def _named(self):
        """Name the workspace as its field does: by its pseudonym where names are not to be told."""
        if self.workspace is None or self._given["anonymise"]:
            return self.analysis.run["workspace"]
        return str(self.workspace.name)

    def _offer(self):
        """Offer what the analysis holds."""
        a, says = self.analysis, self._says
        place = self._named() if self.workspace is not None else a.run["workspace"]
        window = {"start": iso(a.window.start), "end": iso(a.window.end)}
        for name, value in ({"workspace": place, "machines": ", ".join(a.run["machines"])} | window).items():
            self._fields[name].value = value
        files = self.workspace is not None and not self.workspace.live
        spans = ["analysed", *["everything"] * files, *SPANS]
        self._following = True  # new options take the old value away
        self._span.options = [(says[f"span {name}"], name) for name in spans]
        self._set({self._span: "analysed"})
        self._following = True  # new options take the old value away
        for name, options in filters_of(a, self._words).items():
            self._filters[name].options = [(says["all"], () if name == "pair" else ""), *options]
        self._machine.options = list(self._names.values())

    def _follow(self, before):
        """Bring every view to the selection; what does not depend on what changed stays as it is."""
        choice = self.choice
        filtered = before is None or any(
            getattr(before, name) != getattr(choice, name) for name in ("os_type", "cause", "pair")
        )
        focused = before is None or (before.machine, before.outage) != (choice.machine, choice.outage)
        left, self.shown = chosen(self.analysis, choice)
        self._following = True
        self._outage.options = explorer.options(
            self._known, rows_of_machine(choice.machine, self.shown), self._words
        ) or [("–", None)]
        self._set(
            {widget: getattr(choice, name) for name, widget in self._filters.items()}
            | {self._machine: self._names.get(choice.machine, ""), self._outage: choice.outage}
        )
        page = self._page()
        self._say(self._left, page.plain("left"))
        self._say(self._cost, page.plain(self._cost_section()))
        if filtered or focused:
            self._tables["outages"].show(self._outages_table())
        none = html.escape(self._says["no rows"])
        if filtered:
            silent = explorer.sources_table(self._known, left, _ROWS, self._words)
            self._tables["sources"].show(silent, none)
        if focused:
            for name, table in (("streams", explorer.streams_table), ("events", explorer.events_table)):
                self._tables[name].show(table(self._known, choice.outage, self._words), none)
            if self._text.value == self._suggested:  # the reader's own query stays
                self._suggest()
        if self._figures:
            if filtered:
                charts.redraw(self._figures["fleet"], half_as_wide(self._fleet_figure()))
                self._listen()
            if focused:
                charts.redraw(self._figures["machine"], half_as_wide(self._machine_figure()))
            if filtered or focused:
                self._ring()

    def _suggest(self):
        self._text.value = self._suggested = self._kql()

    def _listen(self):
        for trace in self._figures["fleet"].data:
            trace.on_click(self._clicked)

    def _ring(self):
        """Frame the row of the machine that is looked at."""
        figure = self._figures["fleet"]
        others = [shape for shape in figure.layout.shapes if shape.name != "here"]
        rows = [] if figure.layout.yaxis.categoryarray is None else list(figure.layout.yaxis.categoryarray)
        if self._rows.get(self.choice.machine) in rows:
            at = rows.index(self._rows[self.choice.machine])
            others.append(FRAME | {"y0": at - 0.5, "y1": at + 0.5})
        figure.layout.shapes = others

    def _clicked(self, trace, points, state):
        """Look at what was clicked: a mark is an outage, anything else the machine in whose row it lies."""
        if not points.point_inds:
            return
        if trace.type == "scatter" and trace.customdata is not None:
            self._try(self._left, self.choose, outage=int(trace.customdata[points.point_inds[0]][-1]))
        elif points.ys:
            machine = next(key for key, row in self._rows.items() if row == points.ys[0])
            self._try(self._left, self.choose, machine=machine)

    def _changed(self, name, value):
        if self._following:
            return
        if name == "machine":
            self._try(self._left, self._find, name=value)
        else:
            self._try(self._left, self.choose, **{name: value})

    def _find(self, name):
        """Look at the machine of a name, in any case; a computer name without its domain will do."""
        name = name.strip().lower()
        known = {label.lower(): key for key, label in self._names.items()}
        key = machine_called(name, known)
        if name and key is None:
            raise UsageError(self._says["unknown machine"].format(name=visible(name, 60), near=nearest(name, known)))
        self.choose(machine=key or ())

    def _spanned(self, name):
        """Put a window that is asked for by name into the fields; nothing is analysed before the button is pressed."""
        if self._following:
            return
        a, live = self.analysis, self.workspace is not None and self.workspace.live
        end = pd.Timestamp.now("UTC").floor("min") if live else a.window.end
        outage = None if self.choice.outage is None else a.outages.loc[self.choice.outage]
        if name == "analysed":
            window = iso(a.window.start), iso(a.window.end)
        else:
            window = ("", "") if name == "everything" else tuple(map(iso, span(name, end, outage)))
        self._fields["start"].value, self._fields["end"].value = window

    def _analyse(self):
        self.analyse(*(self._fields[name].value.strip() for name in ("workspace", "start", "end", "machines")))

    def _try(self, place, what, button=None, **given):
        """Do something for a widget; what goes wrong is one sentence, and everything else stays as it was."""
        if button is not None:
            button.disabled = True
            self._say(place, self._says["busy"])
        try:
            what(**given)
            if place is self._status:
                self._say(place, "")
        except AmakitError as error:
            self._say(place, str(error), bad=True)
            self._set({self._machine: self._names.get(self.choice.machine, "")})
        finally:
            if button is not None:
                button.disabled = False

    def _set(self, values):
        """Give widgets their values as the selection has them, not as a reader who changes them."""
        self._following = True
        try:
            for widget, value in values.items():
                widget.value = value
        finally:
            self._following = False

    def _say(self, place, sentence, bad=False):
        text = html.escape(visible(sentence, 1000))
        place.value = f'<p role="alert" class="amakit-error">{text}</p>' if bad else f'<p role="status">{text}</p>'
