from collections.abc import Mapping
from pathlib import Path

import pytest

from overshootd.config.load import Loaded, load
from tests.unit.config.texts import KEY, Load


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load this text as overshootd.yaml; `more` holds files of streams.d by name, `now` seconds since the epoch."""

    def do(
        text: str, environ: Mapping[str, str] = KEY, more: Mapping[str, str] | None = None, now: float | None = None
    ) -> Loaded:
        (tmp_path / "overshootd.yaml").write_text(text)
        for name, content in (more or {}).items():
            (tmp_path / "streams.d").mkdir(exist_ok=True)
            (tmp_path / "streams.d" / name).write_text(content)
        return load(tmp_path / "overshootd.yaml", environ, now=now)

    return do
