"""Which colour means what, on light paper and on dark."""

import numpy as np

#: What has no order; the second eight are the first, darker.
COLOURS = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#7F7F7F",
    "#004A75", "#8F6200", "#00614A", "#8A4A6F", "#2A77A3", "#8A3C00", "#6E6600", "#4D4D4D",
]  # fmt: skip
#: Nothing but what still is down has this colour.
STILL_DOWN = "#C62828"
#: Light paper and dark, as pages have them.
PAPER = {"light": "#FFFFFF", "dark": "#0D1117"}
#: Text of charts on each; that for light paper can also be read on black, where a figure does not know its paper.
INK = {"light": "#737373", "dark": "#A4ADB8"}
#: The oldest and the newest version of a product line, on light paper and on dark: the newest stands out most.
_RAMPS = {
    "Windows": (("#B5D4EE", "#0B4A8F"), ("#23486B", "#A9D1FF")),
    "Linux": (("#F3D3A2", "#854800"), ("#664315", "#FFC679")),
    "": (("#D9C4E4", "#5E2A7E"), ("#4B3560", "#DDB8F2")),
}  # fmt: skip
#: Shades of a ramp.  Of more versions the oldest share one.
_STEPS = 12


def _shades(oldest, newest):
    """Give the shades from one colour to another, in equal steps."""
    first, last = (np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) for colour in (oldest, newest))
    return ["#" + "".join(f"{round(part):02X}" for part in parts) for parts in np.linspace(first, last, _STEPS)]


_LIGHT, _OF_DARK = ({line: _shades(*ends[n]) for line, ends in _RAMPS.items()} for n in (0, 1))
#: What stands on dark paper for a colour that is made for light paper.
DARK = {light: dark for line in _RAMPS for light, dark in zip(_LIGHT[line], _OF_DARK[line], strict=True)} | {
    STILL_DOWN: "#FF8A80",
    INK["light"]: INK["dark"],
    "#0072B2": "#4BA3E0",
    "#004A75": "#7FC1EA",
    "#8F6200": "#D9A84A",
    "#00614A": "#4FC3A1",
    "#8A4A6F": "#D89BC0",
    "#8A3C00": "#E0915A",
    "#6E6600": "#C9BE4A",
    "#4D4D4D": "#B0B0B0",
}


def ramp(line: str, versions: int) -> list[str]:
    """Give the colours of the versions of a product line on light paper, from the oldest to the newest.

    Parameters
    ----------
    line : str
        Windows, Linux or another.
    versions : int
        How many there are.

    Returns
    -------
    list of str

    Examples
    --------
    >>> ramp("Windows", 3)
    ['#B5D4EE', '#5889BA', '#0B4A8F']
    >>> ramp("Windows", 1)
    ['#0B4A8F']
    """
    shades = _LIGHT.get(line, _LIGHT[""])
    places = np.linspace(0, _STEPS - 1, min(versions, _STEPS)).round().astype("int64") if versions > 1 else [-1]
    return [shades[0]] * (versions - _STEPS) + [shades[place] for place in places]


def contrast(one: str, other: str) -> float:
    """Tell the contrast of two colours, as WCAG counts it: text needs 4.5, a mark 3.

    Examples
    --------
    >>> contrast("#000000", "#FFFFFF")
    21.0
    """

    def luminance(colour):
        parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return round((high + 0.05) / (low + 0.05), 2)
