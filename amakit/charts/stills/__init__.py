"""Still pictures: charts as SVG and PNG without a browser, from plotly's own description of a figure.

The page of a report shows them where no script runs; the printed and the Markdown form have no other.  Drawn is
what `amakit.charts` uses of plotly; what else would change the meaning of a picture is refused.  The only door to
matplotlib, which is loaded when a picture is asked for.
"""

from amakit.charts.stills.drawer import Drawer, drawing_thread, prefix_of
from amakit.charts.stills.files import FORMS, picture

__all__ = ["FORMS", "Drawer", "drawing_thread", "picture", "prefix_of"]
