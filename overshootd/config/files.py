"""Which files make up a configuration, and their trees put together into one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from overshootd.config.parse import MAX_BYTES, parse
from overshootd.config.problem import Mark, Problem
from overshootd.config.regular import read_regular
from overshootd.config.tree import Node

MAIN = "overshootd.yaml"
CONTINUED = ("brokers", "cameras", "streams")
"""The maps that files in streams.d continue."""


def read(path: Path) -> tuple[Node, list[Problem]]:
    """The configuration as one tree, and what is wrong with its files. The tree's own mark names the main file.

    A directory means its overshootd.yaml; that file, however it was named, is continued by streams.d/*.yaml beside it.
    A file of any other name stands alone.
    """
    main = path / MAIN if os.path.isdir(path) else path  # which, unlike pathlib's, never raises
    root, problems = read_file(main)
    if main.name != MAIN:
        return root, problems
    files, unreadable = _continuations(main.parent / "streams.d")
    problems += unreadable
    for file in files:
        extra, wrong = read_file(file)
        root, doubled = _continue(root, extra, file)
        problems += wrong + doubled
    return root, problems


def read_file(path: Path) -> tuple[Node, list[Problem]]:
    """One file's tree, empty when there is none, and what is wrong with it."""
    root, problems = _parse_file(path)
    for kind in CONTINUED:
        if (node := root.get(kind)) and not isinstance(node.value, Mapping):
            problems.append(
                node.problem(f"expected a mapping: the name of each of the {kind}, and under it what it is")
            )
            root = root.without(kind)
    return root, problems


def _parse_file(path: Path) -> tuple[Node, list[Problem]]:
    nothing = Node({}, Mark(str(path)))
    try:
        content = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        return nothing, [Problem(str(path), 1, 1, "", _unreadable(path, error))]
    if len(content) > MAX_BYTES:
        return nothing, [Problem(str(path), 1, 1, "", f"larger than {MAX_BYTES // 1024} KiB: not a configuration")]
    try:
        root, problems = parse(content.decode(), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1)
        return nothing, [Problem(str(path), line + 1, column + 1, "", "not UTF-8: a configuration is plain UTF-8 text")]
    return root or nothing, problems


def _unreadable(path: Path, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return f"no such file; -c takes a file, or a directory that holds {MAIN}"
        case IsADirectoryError():
            return "a directory, where a file is expected"
        case PermissionError():
            return "may not be read by this user"
    return f"cannot be read: {error.strerror or error}"


def _continuations(directory: Path) -> tuple[list[Path], list[Problem]]:
    """streams.d/*.yaml by name, without dotfiles and backups."""
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [Problem(str(directory), 1, 1, "", _unreadable(directory, error))]
    return [directory / name for name in names if re.fullmatch(r"[^.#~].*\.yaml", name)], []


def _continue(root: Node, extra: Node, file: Path) -> tuple[Node, list[Problem]]:
    """`root` with the maps of `extra` added to its own."""
    problems = [
        node.key_problem(
            f"belongs in {MAIN}; files in {file.parent.name} hold only {', '.join(CONTINUED[:-1])} and {CONTINUED[-1]}"
        )
        for key, node in extra.map.items()
        if key not in (*CONTINUED, "version")
    ]
    for kind in CONTINUED:
        mine, more = root.get(kind), extra.get(kind)
        if mine and more:
            problems += [
                node.key_problem(f"this name is taken already, at {_place(mine.map[name])}; give it another")
                for name, node in more.map.items()
                if name in mine.map
            ]
            more = replace(mine, value={**mine.map, **more.map, **mine.map})  # in the order of the files
        if more:
            root = root.having(**{kind: more})
    return root, problems


def _place(node: Node) -> str:
    mark = node.key_mark or node.mark
    return f"{mark.file}:{mark.line}"
