"""What the rooms hand to each other. No room imports a sibling: they all meet here."""

from overshootd.contracts.controlling import Controls
from overshootd.contracts.counting import Count, Tally
from overshootd.contracts.log import Log
from overshootd.contracts.media import (
    AccessUnit,
    Camera,
    CameraState,
    CaptureFormat,
    CaptureNeed,
    Due,
    Media,
    Picture,
    PixelFormat,
    Sample,
    Subscription,
    Wish,
)
from overshootd.contracts.messaging import Broker, Message
from overshootd.contracts.publishing import (
    APART_SECONDS,
    Answer,
    IceServer,
    Publisher,
    Publishers,
    PublishPlan,
    PublishStats,
    PublishTarget,
    Target,
)
from overshootd.contracts.session import Api, Inference, LeaseNow, Leftovers, Paths, Session, Spent, StreamSpec
from overshootd.contracts.storing import Record, Sink, Spool

__all__ = [
    "APART_SECONDS",
    "AccessUnit",
    "Answer",
    "Api",
    "Broker",
    "Camera",
    "CameraState",
    "CaptureFormat",
    "CaptureNeed",
    "Controls",
    "Count",
    "Due",
    "IceServer",
    "Inference",
    "LeaseNow",
    "Leftovers",
    "Log",
    "Media",
    "Message",
    "Paths",
    "Picture",
    "PixelFormat",
    "PublishPlan",
    "PublishStats",
    "PublishTarget",
    "Publisher",
    "Publishers",
    "Record",
    "Sample",
    "Session",
    "Sink",
    "Spent",
    "Spool",
    "StreamSpec",
    "Subscription",
    "Tally",
    "Target",
    "Wish",
]
