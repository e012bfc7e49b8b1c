"""What may be told to a running stream, by whoever may command it."""

from __future__ import annotations

from typing import Protocol


class Controls(Protocol):
    """The streams of the running configuration, by name. No method waits: what is told takes effect soon after.

    All of them raise OvershootdError, in a sentence for whoever asked, when there is no such stream.
    """

    def set_prompt(self, stream: str, prompt: str) -> None:
        """Ask this from now on. Raises OvershootdError when the stream cannot be asked it."""

    def set_paused(self, stream: str, paused: bool) -> None:
        """Pause or resume. Raises OvershootdError when the stream cannot be."""

    def prompt(self, stream: str) -> str:
        """What is asked."""

    def paused(self, stream: str) -> bool:
        """Whether it is paused, by whomever."""
