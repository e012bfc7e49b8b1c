"""Obeys what is said at the command topics of one broker, as far as its configuration allows."""

from __future__ import annotations

from collections.abc import Callable, Collection

from overshootd.config.brokers import Command as Verb
from overshootd.contracts import Controls, Log
from overshootd.errors import OvershootdError
from overshootd.mqtt.listening import Listening
from overshootd.mqtt.topics import Command, Topics

LONGEST_PROMPT = 10_000
"""Characters, of at most four bytes each."""

WORDS = {b"on": True, b"true": True, b"1": True, b"off": False, b"false": False, b"0": False}

COMPLAINTS = 20
"""Told at most, each once, between two commands that were obeyed: others may write to a topic as often as they like."""

REMOVAL = "and remove this one by an empty message that is retained (mosquitto_pub -r -n)"


class NotMeant(OvershootdError):
    """A message is no command; the text says what would be one."""


def read_prompt(payload: bytes) -> str:
    """The prompt, without white space around it. Raises NotMeant."""
    if len(payload) > 4 * LONGEST_PROMPT:
        raise NotMeant(f"a prompt of {len(payload)} bytes; it has at most {LONGEST_PROMPT} characters")
    try:
        prompt = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise NotMeant("a prompt that is no text; it is UTF-8") from error
    if not prompt:
        raise NotMeant("a prompt of nothing; say what shall be asked")
    if len(prompt) > LONGEST_PROMPT:
        raise NotMeant(f"a prompt of {len(prompt)} characters; it has at most {LONGEST_PROMPT}")
    return prompt


def read_pause(payload: bytes) -> bool:
    """Whether to pause. Raises NotMeant."""
    paused = WORDS.get(payload[:10].strip().lower())
    if paused is None:
        raise NotMeant("neither ON nor OFF, which pause and resume")
    return paused


class Commands:
    """To be made before the broker runs, for it subscribes then. `done` is called when something was obeyed."""

    def __init__(
        self,
        broker: Listening,
        topics: Topics,
        allowed: Collection[Verb],
        controls: Controls,
        done: Callable[[], None],
        log: Log,
    ) -> None:
        self._topics = topics
        self._controls = controls
        self._done = done
        self._log = log.bind(broker=broker.name)
        self._complaints: set[str] = set()
        for verb in dict.fromkeys(allowed):
            broker.subscribe(topics.command("+", verb), self._heard)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        command = self._topics.commanded(topic)
        if command is None or not payload:  # an empty message removes what is retained there
            return
        if retained:
            # It would be obeyed again after each restart and each loss of the connection.
            self._complain("a command that is retained is ignored; publish it without `retain`, " + REMOVAL, command)
            return
        try:
            said = self._obey(command, payload)
        except OvershootdError as error:
            self._complain(str(error), command)
            return
        self._complaints.clear()
        self._log.info(f"commanded: {said}", stream=command.stream)
        self._done()

    def _obey(self, command: Command, payload: bytes) -> str:
        """Returns what was done, in a word. Raises OvershootdError."""
        match command.verb:
            case "prompt":
                self._controls.set_prompt(command.stream, read_prompt(payload))
                return "another prompt"
            case "pause":
                paused = read_pause(payload)
                self._controls.set_paused(command.stream, paused)
                return "pause" if paused else "resume"

    def _complain(self, why: str, command: Command) -> None:
        told = f"{command.verb}: {why}"
        if told in self._complaints or len(self._complaints) >= COMPLAINTS:
            return
        self._complaints.add(told)
        self._log.warning(f"commanded what cannot be obeyed: {why}", topic=self._topics.command(*command))
