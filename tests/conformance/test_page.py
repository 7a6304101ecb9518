"""docs/engines.md says what was seen in this run; with --write-promises it is made to."""

from __future__ import annotations

import pytest
from conformance.promises import PAGE, Seen


def test_the_page_says_what_was_seen(pytestconfig: pytest.Config) -> None:
    seen = pytestconfig.pluginmanager.get_plugin("promises")
    assert isinstance(seen, Seen)
    if why := seen.missing():
        pytest.skip(why)
    if pytestconfig.getoption("--write-promises"):
        PAGE.write_text(seen.page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == seen.page(), "run pytest tests/conformance --write-promises"
