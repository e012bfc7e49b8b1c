"""What has been made of one sample: each size is drawn once, and each view of it once, however many streams want it."""

from __future__ import annotations

import contextlib

from overshootd.capture.privacy import Curtain
from overshootd.capture.scrutiny import GLANCE_SIZE, Scrutiny
from overshootd.contracts import AccessUnit, CaptureFormat, Picture, Sample
from overshootd.errors import FrameSpoiled


class Drawn:
    """Lives as long as its sample is valid, in the camera's thread."""

    def __init__(self, sample: Sample, camera: CaptureFormat, scrutiny: Scrutiny, patience: float) -> None:
        """`patience`: seconds in which no frame can be drawn before the camera counts as lost."""
        self.captured_ns = sample.captured_ns
        self._sample, self._camera = sample, camera
        self._scrutiny, self._patience = scrutiny, patience
        self._wholes: dict[tuple[int, int], Picture] = {}
        self._shown: dict[tuple[int, int, int], Picture] = {}
        self._spoiled: FrameSpoiled | None = None
        self.needs_keyframe = False
        """Whether this is the first in a row that cannot be drawn: of an encoded camera, for want of a keyframe."""

    @property
    def access_unit(self) -> AccessUnit | None:
        return self._sample.access_unit

    def whole(self, width: int, height: int) -> Picture:
        """All that the camera sees. Raises FrameSpoiled, or CameraLost as `Sample.picture` or for what it shows."""
        size = (width, height)
        if size not in self._wholes:
            self._wholes[size] = self._draw(width, height)
            self._scrutiny.look(self._wholes[size])
        return self._wholes[size]

    def shown(self, width: int, height: int, curtain: Curtain | None) -> Picture:
        """What of it may be seen. Raises as `whole`."""
        if curtain is None:
            return self.whole(width, height)
        key = (width, height, id(curtain))
        if key not in self._shown:
            self._shown[key] = curtain.show(self.whole, (self._camera.width, self._camera.height), width, height)
        return self._shown[key]

    def glance(self) -> None:
        """Look at a keyframe of what is passed on as it is, too, which decodes that alone; now and then.

        One that cannot be decoded says nothing of what receivers make of it. Raises CameraLost.
        """
        unit = self._sample.access_unit
        if unit is not None and unit.keyframe and self._scrutiny.wants_a_glance(self.captured_ns):
            with contextlib.suppress(FrameSpoiled):
                self._scrutiny.look(self._sample.picture(*GLANCE_SIZE))

    def _draw(self, width: int, height: int) -> Picture:
        if self._spoiled is not None:  # at one size, so at every
            raise FrameSpoiled(str(self._spoiled))
        try:
            return self._sample.picture(width, height)
        except FrameSpoiled as error:
            self._spoiled = error
            self.needs_keyframe = self._scrutiny.spoiled(error, self.captured_ns, self._patience)
            raise
