import os
import subprocess

import pytest

from overshootd.simulator.livekit_child import find_binary
from tests.integration import namespace

if os.geteuid() != 0:
    # Whoever is not root must be so in a user namespace, before anything starts a thread (see there).
    namespace.refusal()  # `net_allowed` tells of it


@pytest.fixture(scope="session")
def net_allowed() -> None:
    """What the network lab needs of the machine. In CI, where it is missing, the test fails."""
    decide = pytest.fail if os.environ.get("CI") else pytest.skip
    try:
        subprocess.run(["unshare", "--net", "--mount", "true"], check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        decide(f"the network lab needs namespaces: run as root, or allow user namespaces ({error})")


@pytest.fixture(scope="session")
def room_server() -> None:
    """A livekit-server is there to be run."""
    decide = pytest.fail if os.environ.get("CI") else pytest.skip
    try:
        find_binary()
    except RuntimeError as error:
        decide(str(error))
