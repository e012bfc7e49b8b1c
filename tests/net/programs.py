"""Commands of overshootd, inside the lab."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.net.namespaces import Namespace


@asynccontextmanager
async def program(
    where: Namespace, log: Path, *arguments: str, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`overshootd ARGUMENTS` with its stderr added to `log`, killed at the end if it has not ended by then."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OVERSHOOT_", "NOTIFY_"))}
    with log.open("a") as err:
        process = await asyncio.create_subprocess_exec(
            *(*where.words, sys.executable, "-m", "overshootd", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=err,
            env=clean | environ,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
