import os
import subprocess
import sys

import pytest

from tests.integration import namespace

_SESSION = pytest.StashKey[pytest.Session]()


@pytest.fixture(scope="session", autouse=True)
def namespace_refused() -> str | None:
    """Why there is no namespace, None in one. For all integration tests: whoever comes first may start threads."""
    try:
        namespace.enter()
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    except OSError as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def media_net(namespace_refused: str | None) -> str:
    """An address for media that is not loopback, in a network namespace of this process."""
    if namespace_refused is not None:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide(f"media needs a network namespace: run as root, or allow user namespaces ({namespace_refused})")
    return namespace.ADDRESSES[0]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_SESSION] = session


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the LiveKit library's own farewell, which aborts now and then (livekit-notes.md, "Traps")."""
    if "livekit.rtc" in sys.modules and _SESSION in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(config.stash[_SESSION].exitstatus))
