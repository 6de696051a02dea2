"""Naming and comment rules of the wire contract: the core of Buf's STANDARD set and our own.

Source of the standard rules: Buf documentation, "Rules and categories", category STANDARD.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_VERSIONED_PACKAGE = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)*\.v[1-9][0-9]*")

# Names that count without saying so; both are in the project's vocabulary.
_COUNTS_WITHOUT_SUFFIX = frozenset({"k"})
_COUNT_TYPES = frozenset(
    {
        FieldDescriptorProto.TYPE_INT32,
        FieldDescriptorProto.TYPE_INT64,
        FieldDescriptorProto.TYPE_UINT32,
        FieldDescriptorProto.TYPE_UINT64,
    }
)
_TIMESTAMP = ".google.protobuf.Timestamp"
_DURATION = ".google.protobuf.Duration"

# Field numbers inside descriptor.proto: the steps of a source location's path.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_SERVICE_METHOD = 2


@dataclass(frozen=True)
class _Place:
    """A named element: where it stands in the file and what was said about it."""

    comments: dict[tuple[int, ...], str]
    path: tuple[int, ...]
    name: str

    @property
    def comment(self) -> str:
        return self.comments.get(self.path, "")

    def child(self, step: int, position: int, name: str) -> "_Place":
        return _Place(self.comments, (*self.path, step, position), f"{self.name}.{name}".lstrip("."))


def find_faults(descriptor: FileDescriptorSet) -> list[str]:
    """Returns one sentence per broken rule, in file order; empty when the contract follows all of them.

    Args:
        descriptor: descriptor set with source info, since comments are checked.
    """
    faults: list[str] = []
    for file in descriptor.file:
        faults.extend(f"{file.name}: {fault}" for fault in _file_faults(file))
    faults.extend(_request_response_faults(descriptor))
    return faults


def _file_faults(file: FileDescriptorProto) -> Iterator[str]:
    comments = {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}
    top = _Place(comments, (), "")
    if PurePosixPath(file.name).parent.as_posix() != file.package.replace(".", "/"):
        yield f"package {file.package} must stand in the folder of the same name"
    if not _VERSIONED_PACKAGE.fullmatch(file.package):
        yield f"package {file.package} must be lower case and end in a version"
    if not _SNAKE.fullmatch(PurePosixPath(file.name).stem):
        yield "file name must be lower_snake_case"
    if file.syntax != "proto3":
        yield f"syntax must be proto3, not {file.syntax or 'proto2'}"
    for i, message in enumerate(file.message_type):
        yield from _message_faults(message, top.child(_FILE_MESSAGE, i, message.name))
    for i, enum in enumerate(file.enum_type):
        yield from _enum_faults(enum, top.child(_FILE_ENUM, i, enum.name))
    for i, service in enumerate(file.service):
        yield from _service_faults(service, top.child(_FILE_SERVICE, i, service.name))


def _message_faults(message: DescriptorProto, place: _Place) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield from _element_faults("message", message.name, place, _PASCAL)
    for i, field in enumerate(message.field):
        yield from _field_faults(field, place.child(_MESSAGE_FIELD, i, field.name))
    for oneof in message.oneof_decl:
        # protoc adds an invisible oneof called _name for every optional field.
        if not oneof.name.startswith("_") and not _SNAKE.fullmatch(oneof.name):
            yield f"oneof {place.name}.{oneof.name} must be lower_snake_case"
    for i, nested in enumerate(message.nested_type):
        yield from _message_faults(nested, place.child(_MESSAGE_NESTED, i, nested.name))
    for i, enum in enumerate(message.enum_type):
        yield from _enum_faults(enum, place.child(_MESSAGE_ENUM, i, enum.name))


def _field_faults(field: FieldDescriptorProto, place: _Place) -> Iterator[str]:
    yield from _element_faults("field", field.name, place, _SNAKE)
    if field.type_name == _TIMESTAMP and not field.name.endswith("_time"):
        yield f"field {place.name} is a Timestamp and must end in _time"
    if field.name.endswith("_time") and field.type_name not in {_TIMESTAMP, _DURATION}:
        yield f"field {place.name} ends in _time and must be a Timestamp"
    if field.name.endswith("_count") and field.type not in _COUNT_TYPES:
        yield f"field {place.name} ends in _count and must be an integer"
    counts = place.comment.startswith("Number of ") and field.type in _COUNT_TYPES
    if counts and not field.name.endswith("_count") and field.name not in _COUNTS_WITHOUT_SUFFIX:
        yield f"field {place.name} is a number of things and must end in _count"
    if field.name == "id" or field.name.endswith("_id"):
        yield from _id_faults(field, place)


def _id_faults(field: FieldDescriptorProto, place: _Place) -> Iterator[str]:
    if field.type != FieldDescriptorProto.TYPE_STRING:
        yield f"field {place.name} is an id and must be a string"


def _enum_faults(enum: EnumDescriptorProto, place: _Place) -> Iterator[str]:
    yield from _element_faults("enum", enum.name, place, _PASCAL)
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    if enum.options.allow_alias:
        yield f"enum {place.name} must not allow aliases"
    if enum.value[0].number != 0 or enum.value[0].name != f"{prefix}UNSPECIFIED":
        yield f"enum {place.name} must start with {prefix}UNSPECIFIED = 0"
    for value in enum.value:
        if not value.name.startswith(prefix) or not _UPPER_SNAKE.fullmatch(value.name):
            yield f"enum value {place.name}.{value.name} must be UPPER_SNAKE_CASE and start with {prefix}"


def _service_faults(service: ServiceDescriptorProto, place: _Place) -> Iterator[str]:
    yield from _element_faults("service", service.name, place, _PASCAL)
    if not service.name.endswith("Service"):
        yield f"service {place.name} must end in Service"
    for i, method in enumerate(service.method):
        yield from _element_faults("rpc", method.name, place.child(_SERVICE_METHOD, i, method.name), _PASCAL)


def _element_faults(kind: str, name: str, place: _Place, pattern: re.Pattern[str]) -> Iterator[str]:
    if not pattern.fullmatch(name):
        style = "PascalCase" if pattern is _PASCAL else "lower_snake_case"
        yield f"{kind} {place.name} must be {style}"
    if not place.comment:
        yield f"{kind} {place.name} has no comment"


def _request_response_faults(descriptor: FileDescriptorSet) -> Iterator[str]:
    """Each rpc owns its request and response, named after it."""
    users: dict[str, list[str]] = {}
    for file in descriptor.file:
        for service in file.service:
            for method in service.method:
                path = f"{service.name}.{method.name}"
                sides: Sequence[tuple[str, str]] = (
                    (method.input_type, "Request"),
                    (method.output_type, "Response"),
                )
                for full_name, suffix in sides:
                    users.setdefault(full_name, []).append(path)
                    name = full_name.rpartition(".")[2]
                    if name not in {f"{method.name}{suffix}", f"{service.name}{method.name}{suffix}"}:
                        yield f"rpc {path} must use {method.name}{suffix}, not {name}"
    for full_name, paths in users.items():
        if len(paths) > 1:
            yield f"message {full_name.lstrip('.')} is used by more than one rpc: {', '.join(paths)}"
