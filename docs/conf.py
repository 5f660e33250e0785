"""How Sphinx builds the pages; what they show of data is computed here, through `generated`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated  # noqa: E402

import amakit  # noqa: E402

project, author, copyright = "amakit", "The amakit contributors", "2026, the amakit contributors, MIT licence"
version = release = amakit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "sphinx_click"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = [
    "_build",
    "parts",
    "_generated/columns.md",
    "_generated/counts.md",
    "_generated/scores.md",
    "_generated/exports.md",
    "_generated/event_power.md",
]
suppress_warnings = ["misc.highlighting_failure"]  # the lexer of Kusto knows fewer operators than Kusto

default_role = "autolink"
autosummary_generate = True
autosummary_ignore_module_all = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what a value is
numpydoc_show_class_members = False
nitpicky = True
# Rooms below the public ones are named in docstrings, and have no page of their own.
nitpick_ignore_regex = [("py:.*", r"(?!amakit\.(connect|analyze|snapshot)$).*")]

html_theme = "pydata_sphinx_theme"
html_title = "amakit"
html_static_path = ["_static"]
html_css_files = ["amakit.css"]
html_show_sourcelink = html_copy_source = False
# Pages without neighbours need no list of them beside.
html_sidebars = {
    page: []
    for page in (
        "index",
        "tutorial",
        "method",
        "glossary",
        "changelog",
        "contributing",
        "_generated/other_tools",
        "_generated/charts",
    )
}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

generated.write(HERE / "_generated")
