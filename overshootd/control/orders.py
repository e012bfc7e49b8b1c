"""Answers `pause`, `resume` and `prompt`: what somebody on this machine tells a running stream (docs/control.md)."""

from __future__ import annotations

from collections.abc import Mapping

from overshootd.contracts import Controls
from overshootd.control.wire import Handler, Json, NotUnderstood


def handlers(controls: Controls) -> Mapping[str, Handler]:
    """Those three, by command. Each answers what is asked of the stream then; that takes effect soon after."""

    async def pause(request: Json) -> Json:
        controls.set_paused(stream := _text(request, "name"), True)
        return answer(stream)

    async def resume(request: Json) -> Json:
        controls.set_paused(stream := _text(request, "name"), False)
        return answer(stream)

    async def prompt(request: Json) -> Json:
        stream = _text(request, "name")
        if request.get("prompt") is not None:
            controls.set_prompt(stream, _text(request, "prompt"))
        return answer(stream)

    def answer(stream: str) -> Json:
        return {"stream": stream, "paused": controls.paused(stream), "prompt": controls.prompt(stream)}

    return {"pause": pause, "resume": resume, "prompt": prompt}


def _text(request: Json, word: str) -> str:
    """Raises NotUnderstood."""
    if not isinstance(value := request.get(word), str):
        raise NotUnderstood(f"{word}: expected a text")
    return value
