"""What a name of the configuration shows: a stream as it is published, or else a camera. Pure.

The daemon and the command `snapshot` both find it here, so no way to a picture has masks of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from overshootd.config.cameras import CameraConfig, View
from overshootd.config.load import Loaded
from overshootd.config.model import StreamConfig
from overshootd.config.secret import Secret
from overshootd.contracts import CaptureNeed
from overshootd.pacing import fit, need

Size = tuple[int, int]

NEED = CaptureNeed(fps=5.0, width=1280, height=720)
"""What a camera is opened for when no stream says; the size is what streams ask for by themselves."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is to be shown. `source` is the daemon's name for the camera, `need` what it is opened for.

    The picture's size is `told`, where the configuration says it, or what `fit` makes of the pixels that may be seen.
    """

    source: str
    camera: CameraConfig
    password: Secret | None
    view: View
    need: CaptureNeed
    told: Size | None
    fit: Callable[[int, int], Size]

    def size(self, width: int, height: int) -> Size:
        """The picture's size (even), where the camera gives so many pixels that may be seen."""
        return self.told or self.fit(width, height)

    @property
    def fingerprint(self) -> str:
        """Another word where the configuration shows another picture: of another camera, view or size."""
        shown = {
            "source": self.source,
            "camera": self.camera.model_dump(mode="json"),
            "view": self.view.model_dump(mode="json"),
            "told": self.told,
        }
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def find(loaded: Loaded, name: str) -> Sight | None:
    """The stream of this name, or else the camera; None when there is none without a mistake."""
    if stream := loaded.streams.get(name):
        asked = need(stream.processing, stream.publish)
        source = camera_of(name, stream)
        return Sight(source, stream.camera, stream.camera_password, stream.view, asked, stream.publish.size, fit)
    camera = None if name in loaded.broken else loaded.cameras.get(name)
    if camera is None:
        return None
    view = View(masks=camera.config.masks, crop=camera.config.crop)
    return Sight(name, camera.config, camera.password, view, NEED, None, _even)


def camera_of(name: str, stream: StreamConfig) -> str:
    """What the camera of a stream is called: one of `cameras` may feed several, one written inside a stream is its
    own."""
    return stream.camera_name or f"of {name}"


def _even(width: int, height: int) -> Size:
    """All of a camera's picture, whose pixels are not always square: then a side may be odd."""
    return width // 2 * 2, height // 2 * 2
