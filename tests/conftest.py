"""A test that is skipped, or expected to fail, fails: here every check runs, or says why it cannot.

`ALLOWED` is the one list of exceptions, each with its reason; it is empty.
"""

import pytest

ALLOWED: dict[str, str] = {}  # the end of a test's id: why it may be skipped


def pytest_configure(config):
    """Hear of every test: hooks of this file itself would hear only of tests/, not of notebooks/."""
    config.pluginmanager.register(NothingIsSkipped())


class NothingIsSkipped:
    """Turns the skipped and the expected failure into a failure with the same reason."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        return refuse_skip((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector):
        return refuse_skip((yield))


def refuse_skip(report):
    """The report itself, or one that failed if it was skipped and is not allowed to be."""
    if report.outcome == "skipped" and not report.nodeid.endswith(tuple(ALLOWED) or "\0"):
        report.longrepr = f"{report.nodeid} did not run to its end: {reason(report)}"
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)
    return report


def reason(report):
    """Why it was skipped, or why it was expected to fail."""
    if hasattr(report, "wasxfail"):
        return f"expected to fail {report.wasxfail}"
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
