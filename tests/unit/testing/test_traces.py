"""A refused call fails at the line of the test; a mistake of windtunnel's own shows its place."""

from __future__ import annotations

import pytest

from tests.unit.testing.test_changes import CONFTEST

pytest_plugins = ["pytester"]


@pytest.fixture
def lines(pytester: pytest.Pytester) -> str:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "def test_refused(windtunnel):\n"
        "    from windtunnel.testing import given\n"
        "    given.conf('left')  # the test's\n"
        "def test_in_a_callback(windtunnel):\n"
        "    from windtunnel.system.waiting import wait_for\n"
        "    from windtunnel.testing import given\n"
        "    wait_for(lambda: given.whole('slots', 'many'), 1, 1)\n"
        "def test_in_a_block(windtunnel):\n"
        "    from windtunnel.testing import impatience\n"
        "    with impatience.impatient(windtunnel.settings, None, 0):  # the block's\n"
        "        pass\n"
        "def test_a_mistake_of_ours(windtunnel):\n"
        "    from windtunnel.testing import places\n"
        "    places.name_of(5)\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(failed=4)
    return done.stdout.str()


def test_a_refusal_ends_at_the_line_of_the_test(lines: str) -> None:
    for expected in ("conf='left' is no dictionary", "slots='many'", "factor=0 is no number"):
        assert expected in lines
    for ours in ("given.py", "impatience.py", "contextlib.py"):
        assert f"{ours}:" not in lines, lines
    assert "places.py:" in lines
