"""The brokers on their way from the tree to values: paths filled in, secrets read, their rules kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from overshootd.config.brokers import PORTS, BrokerConfig, HomeAssistant
from overshootd.config.certificates import certificate_problems
from overshootd.config.credentials import read_password
from overshootd.config.explain import not_known, validate
from overshootd.config.head import anchored, key_at
from overshootd.config.login import secrets_in
from overshootd.config.problem import Problem
from overshootd.config.rules import absolute, is_loopback, parted
from overshootd.config.secret import SHORTEST, Secret
from overshootd.config.tree import Node

ENCRYPTED: Mapping[str, str] = {"mqtt": "mqtts", "ws": "wss"}
"""What is not encrypted, and the same that is."""

WITH_PATH = ("ws", "wss")
MEANT = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "mqtt+ssl": "mqtts", "http": "ws", "https": "wss"}
"""What other programs call the same."""

TLS_FILES = ("ca_file", "cert_file", "key_file")
EXAMPLE = "mqtts://broker.lan:8883"


@dataclass(slots=True)
class BrokerDraft:
    """`config` is None where a value is wrong. `problems` is everything that is wrong, `warnings` what is odd and works
    all the same, `secrets` all that must be masked."""

    node: Node
    config: BrokerConfig | None
    secrets: list[Secret] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def base_topic(self) -> str:
        """What fills in {base_topic}."""
        return self.config.base_topic if self.config else str(BrokerConfig.model_fields["base_topic"].default)

    @property
    def home_assistant(self) -> HomeAssistant | None:
        return self.config.home_assistant if self.config else None


def read_brokers(root: Node, device: str, environ: Mapping[str, str] | None) -> dict[str, BrokerDraft]:
    """The brokers by name, used or not. Without `environ` neither secrets nor keys are read."""
    node = root.get("brokers")
    drafts = {name: _read(broker, ("brokers", name), environ) for name, broker in node.map.items()} if node else {}
    for name, problem in _doubled(drafts, device):
        drafts[name].problems.append(problem)
    return drafts


def _read(broker: Node, path: tuple[str, ...], environ: Mapping[str, str] | None) -> BrokerDraft:
    node = _with_absolute_files(broker)
    config, wrong = validate(BrokerConfig, node, path)
    draft = BrokerDraft(node, config, problems=wrong)
    if (url := node.get("url")) and isinstance(url.value, str):
        draft.secrets += secrets_in(url.value)
        draft.problems += _url_problems(url, url.value)
        draft.warnings += _bare_login(node, url) if not draft.problems else ()
    draft.problems += _login_problems(node)
    draft.problems += _tls_problems(node)
    if environ is not None:
        _read_secrets(draft, broker, environ)
    return draft


def _with_absolute_files(broker: Node) -> Node:
    if password := broker.get("password"):
        broker = broker.having(password=anchored(password))
    if tls := broker.get("tls"):
        broker = broker.having(tls=tls.having(**{key: _absolute(at) for key in TLS_FILES if (at := tls.get(key))}))
    return broker


def _absolute(node: Node) -> Node:
    path = node.value
    return replace(node, value=absolute(path, node.mark.file)) if isinstance(path, str) and path else node


def _read_secrets(draft: BrokerDraft, broker: Node, environ: Mapping[str, str]) -> None:
    if written := broker.get("password"):
        password, problems = key_at(written, environ, read_password)
        draft.problems += problems
        draft.secrets += [password] if password else []
        if password and len(password.reveal()) < SHORTEST:
            told = f"a password of fewer than {SHORTEST} characters, which is not masked where it turns up in the log"
            draft.warnings.append(written.key_problem(f"{told}; take a longer one"))
    if tls := draft.node.get("tls"):
        draft.problems += certificate_problems(tls)


# -- rules -------------------------------------------------------------------------------------------------------------


def _scheme(node: Node | None) -> str:
    """In small letters, for capital ones mean the same (RFC 3986, 3.1); empty where there is none."""
    text = node.value if node and isinstance(node.value, str) else ""
    return text.partition("://")[0].lower() if "://" in text else ""


def _url_problems(url: Node, text: str) -> Iterator[Problem]:
    """The URL is never repeated: it may hold a password."""
    if re.search(r"\s", text) or not text:
        return
    scheme = _scheme(url)
    parts, usable = parted(text)
    if scheme in MEANT:
        yield url.problem(f"write {MEANT[scheme]}:// instead of {scheme}://")
    elif scheme and scheme not in PORTS:
        yield url.problem(not_known("kind of URL that a broker has", scheme, PORTS))
    elif not scheme or not usable:
        yield url.problem(f"expected a URL with a host and, if any, a port from 1 to 65535, such as {EXAMPLE}")
    elif parts.username is not None or parts.password is not None:
        yield url.problem("a URL with a login in it; give username and password beside it")
    elif parts.fragment or (scheme not in WITH_PATH and (parts.path.strip("/") or parts.query)):
        yield url.problem(f"nothing follows host and port here; expected a URL such as {scheme}://broker.lan")


def _login_problems(broker: Node) -> Iterator[Problem]:
    password, version = broker.get("password"), broker.get("version")
    if password and password.map and not broker.get("username") and not (version and version.value in (5, "5")):
        yield password.key_problem("a password without a username; brokers ask for both (MQTT 3.1.1, 3.1.2.9)")


def _bare_login(broker: Node, url: Node) -> Iterator[Problem]:
    """A login that others can read on its way. No mistake: in a network of one's own it is common."""
    scheme, host = _scheme(url), parted(str(url.value))[0].hostname or ""
    shown = next((key for key in ("password", "username") if broker.get(key)), None)
    if shown and (right := ENCRYPTED.get(scheme)) and not is_loopback(host):
        yield url.problem(
            f"{scheme}:// is not encrypted, so the {shown} can be read on the way to the broker; where that has TLS, "
            f"write {right}:// and its port ({PORTS[right]} as a rule), with tls: {{ca_file: PATH}} for an authority "
            "of your own"
        )


def _tls_problems(broker: Node) -> Iterator[Problem]:
    tls = broker.get("tls")
    if tls is None or not any(tls.get(key) for key in TLS_FILES):
        return
    scheme = _scheme(broker.get("url"))
    if right := ENCRYPTED.get(scheme):
        yield tls.key_problem(f"{scheme}:// is not encrypted; write {right}:// in url, or remove tls")
    for given, lacking in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if (node := tls.get(given)) and not tls.get(lacking):
            yield node.key_problem(f"{given} goes with {lacking}; give both, or neither")


def _doubled(drafts: Mapping[str, BrokerDraft], device: str) -> Iterator[tuple[str, Problem]]:
    """Of the brokers those that are one client of one broker: it ends the older connection for the newer one."""
    taken: dict[tuple[Any, ...], str] = {}
    for name, draft in drafts.items():
        who = _client(draft, device)
        if who in taken:
            at = draft.node.get("client_id") or draft.node.get("url") or draft.node
            told = f"{name} and {taken[who]} are one client of one broker, and would throw each other out"
            yield name, at.problem(f"{told}; keep one of them, or give each a client_id of its own")
        if who:
            taken.setdefault(who, name)


def _client(draft: BrokerDraft, device: str) -> tuple[Any, ...] | None:
    """Host, port and client id; None where they are not known."""
    if draft.config is None or any(_is_of_url(problem) for problem in draft.problems):
        return None
    parts = urlsplit(draft.config.url)
    return parts.hostname, parts.port or PORTS[parts.scheme], draft.config.client_id or f"overshootd-{device}"


def _is_of_url(problem: Problem) -> bool:
    return problem.key.endswith(".url")
