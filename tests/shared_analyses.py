"""Which tests and examples of docstrings share the analyses that they make: a plugin, as it is for both of them.

The fixtures of ``tests/conftest.py`` are seen by what lies beside it alone, and the examples of ``amakit/`` do not.
"""

import pytest

#: Folders, and files, of tests that draw, tell or print an analysis and do not make one of their own.
_SHARING = ("charts", "lab", "prose", "report", "test_docs.py")
_EXAMPLES = {}


@pytest.fixture(autouse=True, scope="module")
def shared_analyses(request):
    """Let what draws, tells or prints an analysis share it with other files and with the kernels of notebooks."""
    path = request.path.relative_to(request.config.rootpath)
    with pytest.MonkeyPatch.context() as patch:
        if path.parts[0] == "amakit" or path.parts[1] in _SHARING:
            patch.delenv("AMAKIT_NO_CACHE", raising=False)
        if path.parts[0] == "amakit":
            from amakit import analysis

            patch.setattr(analysis, "analyze", _analysed_once(analysis.analyze))
        yield


def _analysed_once(analyze):
    """Let examples of docstrings that analyse the same window of the demo share it."""

    def analysed(workspace, *asked, **more):
        key = repr((asked, more))
        if workspace.name != "demo":
            return analyze(workspace, *asked, **more)
        if key not in _EXAMPLES:
            _EXAMPLES[key] = analyze(workspace, *asked, **more)
        return _EXAMPLES[key]

    return analysed
