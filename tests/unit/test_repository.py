"""The files around the code say what they must: the unit, the locks, the scripts."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from overshootd.capture.recovery import HELPER

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = [Requirement(r) for r in PROJECT["project"]["dependencies"]]
SIMULATOR = [Requirement(r) for r in PROJECT["project"]["optional-dependencies"]["simulator"]]
DEV = [Requirement(r) for r in PROJECT["dependency-groups"]["dev"]]
BUILD = [Requirement(r) for r in PROJECT["dependency-groups"]["build"]]


def directives(unit: str) -> dict[str, str]:
    lines = (ROOT / "systemd" / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def pins(lock: str) -> dict[str, list[tuple[Version, int]]]:
    """Every version that a lock names, each with the number of its hashes."""
    found: dict[str, list[tuple[Version, int]]] = {}
    for entry in re.split(r"\n(?=\w)", (ROOT / lock).read_text()):
        if match := re.match(r"([\w.-]+)(?:\[.*\])?==([\w.!+]+)", entry):
            name = canonicalize_name(match[1])
            found.setdefault(name, []).append((Version(match[2]), entry.count("--hash=sha256:")))
    return found


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("Restart", "always"),
        ("StartLimitIntervalSec", "0"),
        ("RestartPreventExitStatus", "64 78"),
        ("SuccessExitStatus", "75"),
        ("KillSignal", "SIGTERM"),
        ("RestartKillSignal", "SIGUSR1"),
        ("KillMode", "mixed"),
        ("Wants", "network-online.target"),
        ("EnvironmentFile", "-/etc/default/overshootd"),
        ("StateDirectory", "overshootd"),
        ("SupplementaryGroups", "video"),
        ("RuntimeDirectory", "overshootd"),
        ("RuntimeDirectoryPreserve", "yes"),
        ("Environment", "OVERSHOOTD_STAGE=%t/overshootd"),
    ],
)
def test_the_unit_keeps_the_service_contract(directive: str, value: str) -> None:
    assert directives("overshootd.service").get(directive) == value


def test_the_unit_starts_on_a_machine_without_network_or_credential() -> None:
    assert not {"Requires", "LoadCredential", "BindsTo"} & directives("overshootd.service").keys()


def test_the_unit_leaves_the_daemon_more_than_its_ten_seconds_to_end() -> None:
    assert float(directives("overshootd.service")["TimeoutStopSec"]) > 10


def test_only_the_daemon_may_ask_the_helper_for_anything() -> None:
    socket = directives("overshootd-helper.socket")
    assert socket["ListenStream"] == str(HELPER)
    assert (socket["SocketMode"], socket["SocketGroup"]) == ("0660", directives("overshootd.service")["User"])
    assert socket["Accept"] == "yes"


def test_the_helper_runs_isolated_on_the_socket_that_was_accepted() -> None:
    service = directives("overshootd-helper@.service")
    assert service["ExecStart"].endswith("/bin/python -I -m overshootd.helper")
    assert service["StandardInput"] == "socket"
    assert "User" not in service, "it is root, or it can do nothing"


@pytest.mark.parametrize("requirement", RUN + SIMULATOR, ids=lambda r: r.name)
def test_a_dependency_has_a_lower_bound_and_no_upper_one(requirement: Requirement) -> None:
    assert [s.operator for s in requirement.specifier] == [">="]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", RUN + SIMULATOR),
        ("requirements-dev.lock", RUN + SIMULATOR + DEV),
        ("tools/build.lock", BUILD),
    ],
)
def test_a_lock_pins_what_pyproject_asks_for(lock: str, requirements: list[Requirement]) -> None:
    pinned = pins(lock)
    missing = {
        str(r)
        for r in requirements
        if not any(v in r.specifier and hashes for v, hashes in pinned.get(canonicalize_name(r.name), []))
    }
    assert not missing, f"run `make lock`: {lock} has no fitting pin for {sorted(missing)}"


def test_the_development_lock_agrees_with_the_other() -> None:
    development = pins("requirements-dev.lock")
    assert {name: development.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "tools/build.lock", "tools/go.lock"])
def test_a_lock_names_no_registry(lock: str) -> None:
    assert not re.search(r"https?://|index-url|find-links", (ROOT / lock).read_text())


@pytest.mark.parametrize(
    "script", [".ci/run", "tools/setup", "tools/lock", "tools/livekit-server", "tests/lab/run", "tests/lab/guest"]
)
def test_a_script_can_be_executed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
