"""The published contract (`contract/v0.2.yaml`) as a judge of requests and of our own answers.

`jsonschema` and `referencing` do the judging; here is only what an OpenAPI document adds (operations, response
references) and the choice of the one branch of an `anyOf` that the sender meant, so that an error names a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_URI = "urn:overshoot:contract"


class ContractBroken(Exception):
    """The simulator itself was about to send something that the contract does not allow: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field of a request; `field` is a dotted path such as `processing.interval_seconds`."""

    field: str
    message: str


class Contract:
    """Judges bodies by operation (`operationId`) and messages by schema name."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._requests: dict[str, Draft202012Validator] = {}
        self._responses: dict[tuple[str, int], Draft202012Validator | None] = {}
        self._error = self._schema("/components/schemas/Error")
        self._messages = {
            name: self._schema(f"/components/schemas/{name}") for name in document["components"]["schemas"]
        }
        for at, operation in _operations(document):
            self._read_operation(at, operation)

    @classmethod
    def load(cls, version: str) -> Contract:
        """The contract of API version `version`, e.g. `v0.2`, as packaged with the simulator."""
        file = resources.files(__package__).joinpath("contract", f"{version}.yaml")
        return cls(yaml.safe_load(file.read_text(encoding="utf-8")))

    def request_problems(self, operation: str, body: object) -> list[Problem]:
        """Everything that the schema of `operation`'s request body finds wrong; empty when all is well."""
        return [_problem(error) for error in _meant(self._requests[operation].iter_errors(body))]

    def check_response(self, operation: str, status: int, body: object) -> None:
        """Raise ContractBroken unless `body` (None: empty) may answer `operation` with `status`.

        An error status that the document does not list for the operation is held to the Error schema.
        """
        listed = (operation, status) in self._responses
        if not listed and status < 400:
            raise ContractBroken(f"{operation} never answers {status}")
        validator = self._responses[operation, status] if listed else self._error
        if validator is None:
            if body is not None:
                raise ContractBroken(f"{operation} {status} has no body")
            return
        _demand(validator, body, f"{operation} {status}")

    def check_message(self, schema: str, message: object) -> None:
        """Raise ContractBroken unless `message` satisfies the component schema named `schema`."""
        _demand(self._messages[schema], message, schema)

    def _schema(self, pointer: str) -> Draft202012Validator:
        return Draft202012Validator({"$ref": f"{_URI}#{pointer}"}, registry=self._registry)

    def _read_operation(self, at: str, operation: Mapping[str, Any]) -> None:
        name = operation["operationId"]
        content = "/content/application~1json/schema"
        if "requestBody" in operation:
            self._requests[name] = self._schema(f"{at}/requestBody{content}")
        for status, response in operation["responses"].items():
            pointer = f"{at}/responses/{status}"
            if "$ref" in response:
                pointer = response["$ref"].removeprefix("#")  # all of them are errors, which have content
            has_body = "$ref" in response or "content" in response
            self._responses[name, int(status)] = self._schema(pointer + content) if has_body else None


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "post", "patch", "put", "delete"}:
                yield f"/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}", operation


def _demand(validator: Draft202012Validator, body: object, what: str) -> None:
    problems = [_problem(error) for error in _meant(validator.iter_errors(body))]
    if problems:
        raise ContractBroken(f"{what}: " + "; ".join(f"{problem.field}: {problem.message}" for problem in problems))


def _meant(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Replace each failed `anyOf`/`oneOf` by the errors of the branch that the sender most likely meant."""
    for error in errors:
        if error.validator not in {"anyOf", "oneOf"} or not error.context:
            yield error
            continue
        branches: dict[object, list[ValidationError]] = {}
        for inner in error.context:
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        likeliest = min(branches.values(), key=_unlikeliness)
        yield from _meant(likeliest)


def _unlikeliness(branch: list[ValidationError]) -> tuple[bool, bool, int]:
    """Wrong kind of value, then wrong `type` tag, then the number of mistakes."""
    wrong_kind = any(error.validator == "type" and not error.relative_path for error in branch)
    wrong_tag = any(error.validator == "const" for error in branch)
    return wrong_kind, wrong_tag, len(branch)


def _problem(error: ValidationError) -> Problem:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        path.append(_missing(error))
        return Problem(".".join(path), "is required")
    if error.validator == "additionalProperties":
        known = cast(dict[str, Any], error.schema).get("properties", {})
        path.append(next(key for key in cast(dict[str, Any], error.instance) if key not in known))
        return Problem(".".join(path), "is not known here")
    return Problem(".".join(path) or "body", error.message)


def _missing(error: ValidationError) -> str:
    """jsonschema reports each missing property by itself and names it only in the message."""
    wanted = cast(list[str], error.validator_value)
    absent = [name for name in wanted if name not in cast(dict[str, Any], error.instance)]
    return next((name for name in absent if error.message.startswith(repr(name))), absent[0])
