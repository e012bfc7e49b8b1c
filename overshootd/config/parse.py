"""YAML text to a tree with positions, and every way in which text is not YAML as one plain sentence.

PyYAML composes; its YAML 1.1 surprises (`no` is false, `1:30` is 90, `010` is 8) are replaced by the YAML 1.2 core
schema. Text is never quoted in a message beyond one character: it may be a secret.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from overshootd.config.problem import Mark, Problem
from overshootd.config.tree import Node, Path, Scalar

MAX_BYTES = 256 * 1024
MAX_ALIASED = 1_000_000
"""Characters that aliases may add once they are followed, a value counting for 16: a quarter of a second at most."""
MAX_DEPTH = 64
MAX_INTEGER = 2**63

_TAG = "tag:yaml.org,2002:"
_NO_TAGS = "YAML tags (words that begin with !) mean nothing here; remove it, or quote the text"
_NO_TEXT = "half a character (an escape from \\ud800 to \\udfff) is no text"


class _Loader(yaml.SafeLoader):
    """Composes only. Resolves plain scalars as the YAML 1.2 core schema does."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - overrides PyYAML's
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too deep", problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree, and what is wrong with it. None when the text is no YAML at all."""
    try:
        root = _compose(text)
    except yaml.YAMLError as error:
        return None, [_explain(error, text, file)]
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value == ""):
        return None, [Problem(file, 1, 1, "", "the file is empty")]
    if not isinstance(root, yaml.MappingNode):
        return None, [
            Problem.at(_mark(file, root.start_mark), (), "expected lines of `key: value`, such as `streams:`")
        ]
    builder = _Builder(file)
    try:
        return builder.build(root, (), None), builder.problems
    except _TooLarge as error:
        return None, [Problem.at(error.mark, (), str(error))]


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _mark(file: str, mark: Any) -> Mark:
    return Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file)


class _TooLarge(Exception):
    def __init__(self, mark: Mark) -> None:
        super().__init__("the aliases of this file expand to more than a configuration can be; write out what is meant")
        self.mark = mark


class _Builder:
    """Turns composed nodes into a tree: follows aliases and `<<`, drops `x-` keys, tells double and odd keys."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._aliased = 0
        self._built: set[int] = set()
        self._open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: Path, key_mark: Mark | None) -> Node:
        mark = _mark(self.file, node.start_mark)
        if id(node) in self._built:
            self._aliased += 16 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        self._built.add(id(node))
        if self._aliased > MAX_ALIASED:
            raise _TooLarge(mark)
        if node in self._open:
            self._wrong(mark, path, "an alias here contains itself; write out what is meant")
            return Node(None, mark, path, key_mark)
        self._open.append(node)
        try:
            return Node(self._value(node, mark, path), mark, path, key_mark)
        finally:
            self._open.pop()

    def _value(self, node: yaml.Node, mark: Mark, path: Path) -> Any:
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, path)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return tuple(self.build(child, (*path, i), None) for i, child in enumerate(node.value))
            case yaml.ScalarNode():
                return self._scalar(node, mark, path)
        self._wrong(mark, path, _NO_TAGS)
        return None

    def _scalar(self, node: yaml.ScalarNode, mark: Mark, path: Path) -> Scalar:
        try:
            match node.tag.removeprefix(_TAG):
                case "str" | "merge" if _is_text(node.value):
                    return str(node.value)
                case "str" | "merge":
                    self._wrong(mark, path, _NO_TEXT)
                    return None
                case "null":
                    return None
                case "bool" if node.value.lower() in ("true", "false"):
                    return bool(node.value.lower() == "true")
                case "int":
                    return _integer(node.value)
                case "float":
                    return float(re.sub(r"\.(inf|nan)$", r"\1", node.value.lower()))
        except ValueError:
            self._wrong(mark, path, "this number is too large to mean anything, or it is none")
            return None
        self._wrong(mark, path, _NO_TAGS)
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            mark = _mark(self.file, key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(mark, path, "a key is a plain word; text with { or [ in it needs quotes")
            elif key.tag == _TAG + "merge":
                merged.append(value)
            elif not _is_text(key.value):
                self._wrong(mark, path, _NO_TEXT)
            elif key.value in entries:
                first = entries[key.value].key_mark
                self._wrong(
                    mark, (*path, key.value), f"is already at line {first.line if first else 0}; keep one of them"
                )
            elif not key.value.startswith("x-") or _is_data(path):
                entries[key.value] = self.build(value, (*path, key.value), mark)
        for source in merged:
            for key, child in self._merged(source, path).items():
                entries.setdefault(key, child)
        return entries

    def _merged(self, source: yaml.Node, path: Path) -> dict[str, Node]:
        """The entries that `<<: *anchor` or `<<: [*a, *b]` brings; of several the first wins."""
        entries: dict[str, Node] = {}
        for part in source.value if isinstance(source, yaml.SequenceNode) else [source]:
            built = self.build(part, path, None)
            if not isinstance(part, yaml.MappingNode):
                self._wrong(built.mark, (*path, "<<"), "expected an alias of a mapping, such as <<: *common")
            entries = {**built.map, **entries}
        return entries

    def _wrong(self, mark: Mark, path: Path, message: str) -> None:
        self.problems.append(Problem.at(mark, path, message))


def _is_data(path: Path) -> bool:
    """Whether the keys there are not ours but the user's: a JSON Schema's, or the names of HTTP headers."""
    return "output_schema_json" in path or (path[-1:] == ("headers",) and "sinks" in path)


def _is_text(text: str) -> bool:
    r"""Escapes such as "\ud800" make half characters, which nothing can print or store."""
    return text.isascii() or not re.search("[\ud800-\udfff]", text)


def _integer(text: str) -> int:
    """Digits, 0o17 or 0x1F. Raises ValueError beyond 64 bits."""
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text, base) if len(text) < 40 else MAX_INTEGER
    if abs(value) >= MAX_INTEGER:
        raise ValueError
    return value


# -- what PyYAML says, in plain words ----------------------------------------------------------------------------------

_SENTENCES = (
    ("too deep", "nested too deep; a configuration has a handful of levels"),
    (
        "found undefined alias",
        "an alias (*name) whose anchor (&name) does not come before it; text that begins with * needs quotes",
    ),
    ("second occurrence", "an anchor (&name) of this name already stands above; names of anchors are used once"),
    ("but found another document", "a second document begins here (---); one file holds one"),
    (
        "mapping values are not allowed",
        "a `key:` does not fit here; check the indentation, and quote text that has ': ' in it",
    ),
    ("sequence entries are not allowed", "a list begins on a line of its own, one `- ` a line"),
    (
        "could not find expected ':'",
        "the line before this one is no `key: value`; is there a ':' and a space after it?",
    ),
    ("expected <block end>, but found '<block", "the indentation fits no line above"),
    ("expected <block end>", "this does not continue what stands above; check indentation, quotes and brackets"),
    ("found unexpected end of stream", "a quote that begins here is not closed"),
    ("but got '?'", "text with a ? in it needs quotes between { } and [ ]"),
    ("expected ',' or '}'", "a ',' or the closing } is missing"),
    ("expected ',' or ']'", "a ',' or the closing ] is missing"),
    (
        "found unknown escape character",
        "no such escape in double quotes; write \\\\ for a backslash, or use single quotes",
    ),
    ("expected alphabetic or numeric character", "text that begins with & or * needs quotes"),
    ("found undefined tag handle", _NO_TAGS),
    ("expected '<document start>'", "nothing can follow here; is there a bracket or a quote too many above?"),
    ("that cannot start any token", "text cannot begin with this character; put it in quotes"),
)


def _explain(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position)
        column = error.position - (text.rfind("\n", 0, error.position) + 1)
        return Problem(file, line + 1, column + 1, "", "a control character; a configuration is plain UTF-8 text")
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(file, 1, 1, "", "not YAML")
    problem = error.problem or ""
    mark = _mark(file, error.problem_mark or error.context_mark)
    if tab := _tab_before(text, mark):
        return Problem.at(tab, (), "a tab; YAML is indented with spaces")
    if error.context_mark and problem.startswith(("found unexpected end of stream", "expected ',' or")):
        # Told where the unfinished thing began, when it ran on over the lines that follow.
        begun = _mark(file, error.context_mark)
        mark = begun if begun.line < mark.line else mark
    sentence = next((sentence for start, sentence in _SENTENCES if start in problem), f"not YAML: {problem}")
    return Problem.at(mark, (), sentence)


def _tab_before(text: str, mark: Mark) -> Mark | None:
    """A tab in the white space before the mark, or at it: what is wrong is invisible, so it is named first."""
    line = (text.splitlines() or [""])[mark.line - 1 : mark.line]
    found = re.search(r"\t\s*$", line[0][: mark.column]) if line else None
    return Mark(mark.file, mark.line, found.start() + 1) if found else None
