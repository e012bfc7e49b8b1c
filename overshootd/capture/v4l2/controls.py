"""A camera's controls: what they are called, what they take, and what the configuration wants of them. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from overshootd.errors import Permanent

Setting = tuple["Control", int]
"""A control, and the value to give it."""


class Kind(Enum):
    """What a control takes. `OTHER` is text and tables, which the configuration cannot give."""

    INTEGER = auto()
    BOOLEAN = auto()
    MENU = auto()
    BUTTON = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a camera. `name` is as v4l2-ctl shows it; `entries` are those of a menu, by their numbers.

    `wide`: whether its values have 64 bits and not 32.
    """

    id: int
    name: str
    kind: Kind
    minimum: int
    maximum: int
    step: int
    default: int
    writable: bool = True
    wide: bool = False
    entries: Mapping[int, str] = field(default_factory=dict)

    @property
    def takes(self) -> str:
        """In words, for a message."""
        match self.kind:
            case Kind.MENU:
                return "one of " + ", ".join(f"{number} ({text})" for number, text in self.entries.items())
            case Kind.BOOLEAN:
                return "true or false"
            case Kind.BUTTON:
                return "true, which presses it"
            case Kind.INTEGER:
                return f"{self.minimum} to {self.maximum}"
            case Kind.OTHER:
                return "nothing that can be written here"

    def nearest(self, value: float) -> int:
        """The nearest that it takes."""
        return min(max(round(value), self.minimum), self.maximum)


def shown_name(title: str) -> str:
    """The name that v4l2-ctl makes of a driver's title: "White Balance, Auto" is white_balance_auto.

    linuxpy's own differ where there is a hyphen ("H264 I-Frame Period"), and people paste from v4l2-ctl.
    """
    return re.sub(r"[^0-9A-Za-z]+", "_", title).strip("_").lower()


def by_name(controls: Iterable[Control]) -> dict[str, Control]:
    return {control.name: control for control in controls}


def settings(controls: Mapping[str, Control], wanted: Mapping[str, bool | int | str], camera: str) -> list[Setting]:
    """What to set, in the order of the configuration, for some controls can be set only after others.

    Raises Permanent, whose text begins with `camera`, for a name or a value that the camera does not have.
    """
    return [_setting(controls, name, value, camera) for name, value in wanted.items()]


def _setting(controls: Mapping[str, Control], name: str, wanted: bool | int | str, camera: str) -> Setting:
    control = controls.get(name)
    if control is None:
        raise Permanent(f"{camera} has no control {name!r}; {_names(controls, name)}")
    if not control.writable:
        raise Permanent(f"{camera}: the control {name} can only be read")
    value = _value(control, wanted)
    if value is None:
        raise Permanent(f"{camera}: the control {name} takes {control.takes}, not {_shown(wanted)}")
    return control, value


def _names(controls: Mapping[str, Control], wrong: str) -> str:
    writable = sorted(name for name, control in controls.items() if control.writable)
    if not writable:
        return "it has none"
    near = difflib.get_close_matches(wrong, writable, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"it has {', '.join(writable)}"


def _shown(wanted: bool | int | str) -> str:
    return repr(wanted) if isinstance(wanted, str) else str(wanted).lower()


def _value(control: Control, wanted: bool | int | str) -> int | None:
    """What the kernel takes for it, or None."""
    match control.kind:
        case Kind.MENU:
            return _entry(control, wanted)
        case Kind.BOOLEAN:
            return int(wanted) if wanted in (0, 1) else None  # True and False are 1 and 0
        case Kind.BUTTON:
            return 1 if wanted == 1 else None
        case Kind.INTEGER:
            fits = not isinstance(wanted, bool | str) and control.minimum <= wanted <= control.maximum
            return int(wanted) if fits else None
        case Kind.OTHER:
            return None


def _entry(control: Control, wanted: bool | int | str) -> int | None:
    """A menu's entry, by its number or by its text. A bool is a text that YAML took for one."""
    if isinstance(wanted, bool):
        words = {"on", "true", "yes"} if wanted else {"off", "false", "no"}
    elif isinstance(wanted, int):
        return wanted if wanted in control.entries else None
    else:
        words = {wanted.strip().lower()}
    found = [number for number, text in control.entries.items() if text.strip().lower() in words]
    return found[0] if found else None


def flips(
    controls: Mapping[str, Control], rotate: int, hflip: bool, configured: Iterable[str]
) -> tuple[list[Setting], bool]:
    """What to set so that the camera itself turns its picture by `rotate` (0 or 180) degrees and then mirrors it, and
    whether it cannot, so that it must be done with every picture.

    Set even where nothing is to be turned, for drivers remember what an earlier configuration wanted. What the
    configuration sets by name it wants so, and the picture turned as well.
    """
    wanted = {"vertical_flip": rotate == 180, "horizontal_flip": (rotate == 180) != hflip}
    own = {name: controls[name] for name in wanted if name in controls and controls[name].writable}
    own = {name: control for name, control in own.items() if name not in configured}
    unable = any(turned and name not in own for name, turned in wanted.items())
    # A default that is not 0 is how the sensor hangs in its case.
    return [(control, control.default ^ (wanted[name] and not unable)) for name, control in own.items()], unable
