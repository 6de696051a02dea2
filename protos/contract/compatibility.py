"""Finds changes between two descriptor sets that would break callers of the older one.

Additions pass. Whatever an old caller may hold in its hands (a name, a number, a type, a method) must stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_NamedT = TypeVar("_NamedT", bound=_Named)


def find_breaks(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """Returns one sentence per breaking change, in the order of the old contract; empty when compatible."""
    files = _by_name(new.file)
    breaks: list[str] = []
    for file in old.file:
        if file.name not in files:
            breaks.append(f"file {file.name} was removed")
        else:
            breaks.extend(_file_breaks(file, files[file.name]))
    return breaks


def _file_breaks(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[str]:
    if old.package != new.package:
        yield f"{old.name}: package {old.package} became {new.package}"
    messages, enums, services = _by_name(new.message_type), _by_name(new.enum_type), _by_name(new.service)
    for message in old.message_type:
        yield from _message_breaks(message, messages.get(message.name), message.name)
    for enum in old.enum_type:
        yield from _enum_breaks(enum, enums.get(enum.name), enum.name)
    for service in old.service:
        yield from _service_breaks(service, services.get(service.name))


def _message_breaks(old: DescriptorProto, new: DescriptorProto | None, path: str) -> Iterator[str]:
    if new is None:
        yield f"message {path} was removed"
        return
    fields, nested, enums = _by_name(new.field), _by_name(new.nested_type), _by_name(new.enum_type)
    for field in old.field:
        yield from _field_breaks(old, field, new, fields.get(field.name), f"{path}.{field.name}")
    for message in old.nested_type:
        yield from _message_breaks(message, nested.get(message.name), f"{path}.{message.name}")
    for enum in old.enum_type:
        yield from _enum_breaks(enum, enums.get(enum.name), f"{path}.{enum.name}")


def _field_breaks(
    old_message: DescriptorProto,
    old: FieldDescriptorProto,
    new_message: DescriptorProto,
    new: FieldDescriptorProto | None,
    path: str,
) -> Iterator[str]:
    if new is None:
        yield f"field {path} was removed or renamed"
        return
    pairs = {
        "number": (old.number, new.number),
        "type": (_type_name(old), _type_name(new)),
        "label": (old.label, new.label),
        "presence": (old.proto3_optional, new.proto3_optional),
        "oneof": (_oneof(old_message, old), _oneof(new_message, new)),
        "JSON name": (old.json_name, new.json_name),
    }
    for what, (before, after) in pairs.items():
        if before != after:
            yield f"field {path} changed its {what} from {before!r} to {after!r}"


def _enum_breaks(old: EnumDescriptorProto, new: EnumDescriptorProto | None, path: str) -> Iterator[str]:
    if new is None:
        yield f"enum {path} was removed"
        return
    values = _by_name(new.value)
    for value in old.value:
        after = values.get(value.name)
        if after is None:
            yield f"enum value {path}.{value.name} was removed or renamed"
        elif after.number != value.number:
            yield f"enum value {path}.{value.name} changed its number from {value.number} to {after.number}"


def _service_breaks(old: ServiceDescriptorProto, new: ServiceDescriptorProto | None) -> Iterator[str]:
    if new is None:
        yield f"service {old.name} was removed"
        return
    methods = _by_name(new.method)
    for method in old.method:
        after = methods.get(method.name)
        if after is None:
            yield f"rpc {old.name}.{method.name} was removed or renamed"
        elif _signature(method) != _signature(after):
            yield f"rpc {old.name}.{method.name} changed from {_signature(method)} to {_signature(after)}"


def _by_name(items: Sequence[_NamedT]) -> Mapping[str, _NamedT]:
    return {item.name: item for item in items}


def _type_name(field: FieldDescriptorProto) -> str:
    return field.type_name or FieldDescriptorProto.Type.Name(field.type)


def _oneof(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """Names the oneof a field is in; the invisible one behind `optional` does not count."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return message.oneof_decl[field.oneof_index].name


def _signature(method: MethodDescriptorProto) -> str:
    def side(name: str, streaming: bool) -> str:
        return f"stream {name}" if streaming else name

    request = side(method.input_type, method.client_streaming)
    return f"({request}) -> {side(method.output_type, method.server_streaming)}"
