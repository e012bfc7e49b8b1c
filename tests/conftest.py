"""Under CI nothing may skip: the test command sets up all that tests need, save footage that is not the project's."""

import os

import pytest
from hypothesis import settings

if not os.environ.get("CI"):  # whose own profile has no deadline either
    # A machine that is busy is no fault of the code: figures belong in bench/.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")

FOOTAGE = "vtest.avi"
"""Real footage that lies beside the project for its developers; tests that use it name it in their reason to skip."""


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
