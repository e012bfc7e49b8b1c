"""Which test files take longest, so that they are begun first."""

from __future__ import annotations

LONGEST = (
    "tests/net/test_scenarios.py",
    "tests/integration/test_spool_bounds.py",
    "tests/integration/test_daemon_failures.py",
    "tests/integration/test_passthrough.py",
    "tests/integration/test_daemon.py",
    "tests/integration/test_capture_rtsp.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_daemon_transports.py",
    "tests/integration/test_managed.py",
    "tests/integration/test_daemon_recovery.py",
    "tests/integration/test_snapshot_daemon.py",
    "tests/integration/test_spool_power.py",
    "tests/integration/test_delivery_random.py",
    "tests/integration/test_mqtt_net.py",
    "tests/integration/test_daemon_cameras.py",
    "tests/integration/test_daemon_mqtt.py",
    "tests/integration/test_capture_rtsp_trouble.py",
    "tests/integration/test_daemon_end.py",
    "tests/integration/test_no_clock.py",
)
"""As each takes by itself, those of half a minute and more. Most have few tests, and the workers share files by the
number of tests unless told: begun last, each has one of them go on for minutes when the others have nothing left."""


def turn(node_id: str) -> int:
    """Of a test, by which all are sorted. Pure."""
    file = node_id.partition("::")[0]
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)
