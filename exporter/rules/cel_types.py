"""The vocabulary as protobuf message types, which is what CEL checks fields and their types against."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from cel_expr_python import cel
from google.protobuf import descriptor_pool, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from msgspec import Struct

from exporter.rules.vocabulary import Fact, FactType, Variables, facts_of, walk

PACKAGE: Final = "rtcmpu"
_SUFFIX: Final = "Facts"


def message_name(group: type[Struct]) -> str:
    """Return the full name of the message type of one declaration."""
    return f"{PACKAGE}.{group.__name__.removesuffix(_SUFFIX)}"


def message_pool() -> descriptor_pool.DescriptorPool:
    """Return a new pool with a message type for each group of the vocabulary."""
    file = FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto2")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    for group in _groups():
        message = file.message_type.add(name=message_name(group).removeprefix(f"{PACKAGE}."))
        message.field.extend(_field(number, fact) for number, fact in enumerate(facts_of(group), 1))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def checked_types() -> dict[str, cel.Type]:
    """Return each variable's type for the check."""
    return {fact.name: _variable_type(fact) for fact in facts_of(Variables)}


def running_types() -> dict[str, cel.Type]:
    """Return each variable's type for the run, where a group is a plain map and a missing key an error."""
    return {
        fact.name: cel.Type.DYN if fact.kind is FactType.GROUP else _variable_type(fact) for fact in facts_of(Variables)
    }


@cache
def message_paths() -> Mapping[str, str]:
    """Return where a rule finds each message type, by its full name: `rtcmpu.Video` is `task.video`."""
    return {
        message_name(fact.group): f"{path}[]" if fact.is_list else path
        for path, fact in walk()
        if fact.group is not None
    }


@cache
def message_fields() -> Mapping[str, tuple[str, ...]]:
    """Return the names of each message type's fields, by its full name."""
    return {message_name(group): group.__struct_fields__ for group in _groups()}


def _groups() -> Iterator[type[Struct]]:
    """Yield each declaration that is a message."""
    return iter(dict.fromkeys(fact.group for _, fact in walk() if fact.group is not None))


def _field(number: int, fact: Fact) -> FieldDescriptorProto:
    field = FieldDescriptorProto(
        name=fact.name,
        number=number,
        label=FieldDescriptorProto.LABEL_REPEATED if fact.is_list else FieldDescriptorProto.LABEL_OPTIONAL,
        type=_FIELD_TYPES[fact.kind],
    )
    if fact.kind is FactType.TIMESTAMP:
        field.type_name = f".{timestamp_pb2.Timestamp.DESCRIPTOR.full_name}"
    elif fact.group is not None:
        field.type_name = f".{message_name(fact.group)}"
    return field


_FIELD_TYPES: Final = {
    FactType.TEXT: FieldDescriptorProto.TYPE_STRING,
    FactType.WHOLE_NUMBER: FieldDescriptorProto.TYPE_INT64,
    FactType.NUMBER: FieldDescriptorProto.TYPE_DOUBLE,
    FactType.CONDITION: FieldDescriptorProto.TYPE_BOOL,
    FactType.TIMESTAMP: FieldDescriptorProto.TYPE_MESSAGE,
    FactType.GROUP: FieldDescriptorProto.TYPE_MESSAGE,
}
_VARIABLE_TYPES: Final = {
    FactType.TEXT: cel.Type.STRING,
    FactType.WHOLE_NUMBER: cel.Type.INT,
    FactType.TIMESTAMP: cel.Type.TIMESTAMP,
    FactType.DURATION: cel.Type.DURATION,
}


def _variable_type(fact: Fact) -> cel.Type:
    return _VARIABLE_TYPES[fact.kind] if fact.group is None else cel.Type(message_name(fact.group))
