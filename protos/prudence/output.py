"""What a command of the command line says: text for people, JSON for programs."""

from dataclasses import dataclass

from google.protobuf import json_format
from google.protobuf.message import Message


@dataclass(frozen=True)
class Output:
    """What a command says: as text, as JSON, and whether the answer is a good one."""

    text: str
    json: str
    good: bool = True


def to_json(message: Message) -> str:
    """Writes a message as JSON with the names of the wire contract."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False)
