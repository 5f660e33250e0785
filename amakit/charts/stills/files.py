"""A still picture as bytes: an SVG that stands inside a page, or a PNG."""

import contextlib
import io
import logging
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

from amakit.charts.stills.chart import decoded
from amakit.charts.stills.sheet import drawn
from amakit.errors import AmakitError, UsageError

FORMS = ("svg", "png")
_INK = {"svg": "#010203", "png": "#333333"}  #: in an SVG a mark, which gives way to the colour of the text around
#: What a PNG is written in; an SVG is only measured with it, and begins with the widest, so that any other fits.
_FONTS = ["Noto Sans CJK JP", "Yu Gothic", "Hiragino Sans", "Meiryo", "IPAexGothic", "DejaVu Sans"]


def picture(chart: dict, form: str = "svg", prefix: str = "still") -> bytes:
    """Draw a chart.

    Parameters
    ----------
    chart : dict
        A plotly figure as JSON: ``data`` and ``layout``.
    form : {'svg', 'png'}
        An SVG to stand inside an HTML page: the colour of its text is the page's, its background none, and it
        names no address.  Or a PNG of double density on white.
    prefix : str
        Begins each id in an SVG; pictures of one page need different ones.

    Returns
    -------
    bytes
        The same for the same chart, fonts and version of matplotlib.

    Raises
    ------
    UsageError
        When the form is not known.
    AmakitError
        When the chart holds what this module cannot draw.

    Examples
    --------
    >>> bar = {"type": "bar", "x": [3, 5], "y": ["web", "app"], "orientation": "h"}
    >>> svg = picture({"data": [bar], "layout": {"title": {"text": "Machines"}}})
    >>> svg[:5], b"<title>Machines</title>" in svg
    (b'<svg ', True)
    """
    if form not in FORMS:
        raise UsageError(f"form {form!r} is not known; it is {' or '.join(FORMS)}")
    file = io.BytesIO()
    with _quiet():
        import matplotlib

        with matplotlib.rc_context(_settings(matplotlib, form)):
            try:
                figure, title = drawn(decoded(chart))
                figure.savefig(file, format=form)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise AmakitError(f"a still picture cannot be drawn of this chart: {error!r:.200}") from error
    return _inline(file.getvalue(), prefix, title) if form == "svg" else _small(file)


@contextlib.contextmanager
def _quiet():
    """Keep to itself what matplotlib says of fonts that a machine does not have."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(level)


def _settings(matplotlib, form):
    """Give matplotlib's own settings, whatever the user's are, with those of the kit."""
    from matplotlib.font_manager import get_font_names

    known, ink = set(get_font_names()), _INK[form]
    fonts = [name for name in _FONTS if name in known]
    inked = ("axes.labelcolor", "text.color", "xtick.labelcolor", "ytick.labelcolor")
    return (
        {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
        | matplotlib.rc_params_from_file(Path(__file__).with_name("stills.mplstyle"), use_default_template=False)
        | dict.fromkeys(inked, ink)
        | {
            "font.family": fonts[::-1] if form == "svg" else fonts,
            "savefig.facecolor": "none" if form == "svg" else "white",
        }
    )


def _inline(svg, prefix, title):
    """Make of matplotlib's SVG a part of an HTML page."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        parent.tag = parent.tag.partition("}")[2]
        parent.attrib = {key.partition("}")[2] or key: value for key, value in parent.attrib.items()}
        parent.tail, parent.text = None, parent.text if parent.tag == "text" else None
        for child in [c for c in parent if c.tag.endswith(("metadata", "style"))]:
            parent.remove(child)  # a style would hold for the whole page
    everything = "\n".join(value for part in root.iter() for value in part.attrib.values())
    used = set(re.findall(r"(?:url\(|^)#([\w-]+)", everything, flags=re.M))
    for part in root.iter():
        if part.get("id") not in used:
            part.attrib.pop("id", None)
        if part.get("transform", "").startswith("rotate(-0 "):
            del part.attrib["transform"]
        part.attrib = {key: _tidy(key, value, prefix) for key, value in part.attrib.items()}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": "100%",
        "role": "img",
        "stroke-linejoin": "round",
        "font-family": "system-ui, sans-serif",
    }
    root.insert(0, ElementTree.Element("title"))
    root[0].text = title
    return ElementTree.tostring(root, encoding="utf-8")


def _tidy(key, value, prefix):
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href":
        return re.sub("^#", f"#{prefix}-", value)
    if key in ("d", "x", "y", "transform") and "matrix" not in value:
        return re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), value).strip()
    value = re.sub(r"font-family: [^;]*;? ?", "", value) if key == "style" else value
    return value.replace("url(#", f"url(#{prefix}-").replace(_INK["svg"], "currentColor")


def _small(file):
    """Write a PNG with a palette, which is a third as large."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()
