"""Under CI nothing may skip: the test command sets up all that tests need, save footage that is not the project's."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.longest import turn

if not os.environ.get("CI"):  # whose own profile has no deadline either
    # A machine that is busy is no fault of the code: figures belong in bench/.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")

FOOTAGE = "vtest.avi"
"""Real footage that lies beside the project for its developers; tests that use it name it in their reason to skip."""


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """`open_log` takes over what libraries log, for good: it would go into a stream that ends with this test."""
    root, livekit = logging.getLogger(), logging.getLogger("livekit")
    handlers, levels = root.handlers[:], (root.level, livekit.level)
    yield
    root.handlers[:] = handlers
    for logger, level in zip((root, livekit), levels, strict=True):
        logger.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share them by files (`make test`), each takes the next in this order."""
    items.sort(key=lambda item: turn(item.nodeid))


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return [report for report in reports if FOOTAGE not in str(report.longrepr)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _skipped(terminalreporter.config):
        terminalreporter.write_line("CI is set: a skipped test counts as a failure", red=True)
