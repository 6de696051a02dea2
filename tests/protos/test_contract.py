"""The wire contract: stubs current, names in order, nothing broken for callers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from contract.compatibility import find_breaks
from contract.errors import ContractBreakError, ContractCompileError, DescriptorFileError
from contract.generate import (
    DESCRIPTOR_PATH,
    PROTO_ROOT,
    compile_contract,
    list_stubs,
    read_descriptor,
    regenerate,
    strip_source_info,
)
from contract.naming import find_faults
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PROTO = """\
// A file.
syntax = "proto3";
package prudence.v1;

// A kind.
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_GOOD = 1;
}

// Asks.
message AskRequest {
  // Number of things.
  int32 thing_count = 1;
  // What kind.
  optional Kind kind = 2;
  oneof target {
    // By name.
    string name = 3;
    // By position.
    int64 position = 4;
  }
}

// Answers.
message AskResponse {
  // The text.
  string text = 1;
}

// Serves.
service AskService {
  // Asks.
  rpc Ask(AskRequest) returns (AskResponse);
}
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FileDescriptorSet]:
    out = tmp_path_factory.mktemp("compiled")
    return out, compile_contract(PROTO_ROOT, out)


def compile_text(root: Path, text: str) -> FileDescriptorSet:
    folder = root / "prudence" / "v1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ask.proto").write_text(text, encoding="utf-8")
    return compile_contract(root, root)


def test_committed_stubs_are_current(compiled: tuple[Path, FileDescriptorSet]) -> None:
    out, _ = compiled
    assert list_stubs(out) == list_stubs(PROTO_ROOT), "run `make protos`"
    stale = [
        name for name in list_stubs(out) if (out / name).read_bytes() != (PROTO_ROOT / name).read_bytes()
    ]
    assert stale == [], "run `make protos`"


def test_committed_descriptor_is_current(compiled: tuple[Path, FileDescriptorSet]) -> None:
    assert read_descriptor(DESCRIPTOR_PATH) == strip_source_info(compiled[1]), "run `make protos`"


def test_contract_does_not_break_its_callers(compiled: tuple[Path, FileDescriptorSet]) -> None:
    assert find_breaks(read_descriptor(DESCRIPTOR_PATH), compiled[1]) == []


def test_contract_follows_the_naming_rules(compiled: tuple[Path, FileDescriptorSet]) -> None:
    assert find_faults(compiled[1]) == []


def _remove_field(file: FileDescriptorProto) -> None:
    del file.message_type[0].field[0]


def _renumber_field(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].number = 9


def _retype_field(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].type = file.message_type[0].field[0].TYPE_INT64


def _rename_field(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].name = "item_count"


def _repeat_field(file: FileDescriptorProto) -> None:
    file.message_type[1].field[0].label = file.message_type[1].field[0].LABEL_REPEATED


def _drop_presence(file: FileDescriptorProto) -> None:
    file.message_type[0].field[1].proto3_optional = False
    file.message_type[0].field[1].ClearField("oneof_index")


def _leave_oneof(file: FileDescriptorProto) -> None:
    file.message_type[0].field[2].ClearField("oneof_index")


def _renumber_enum_value(file: FileDescriptorProto) -> None:
    file.enum_type[0].value[1].number = 2


def _remove_enum_value(file: FileDescriptorProto) -> None:
    del file.enum_type[0].value[1]


def _remove_message(file: FileDescriptorProto) -> None:
    del file.message_type[1]


def _remove_enum(file: FileDescriptorProto) -> None:
    del file.enum_type[0]


def _remove_rpc(file: FileDescriptorProto) -> None:
    del file.service[0].method[0]


def _stream_response(file: FileDescriptorProto) -> None:
    file.service[0].method[0].server_streaming = True


def _swap_response(file: FileDescriptorProto) -> None:
    file.service[0].method[0].output_type = ".prudence.v1.AskRequest"


def _remove_service(file: FileDescriptorProto) -> None:
    del file.service[0]


def _move_package(file: FileDescriptorProto) -> None:
    file.package = "prudence.v2"


BREAKS = [
    (_remove_field, "AskRequest.thing_count was removed"),
    (_renumber_field, "changed its number"),
    (_retype_field, "changed its type"),
    (_rename_field, "was removed or renamed"),
    (_repeat_field, "changed its label"),
    (_drop_presence, "changed its presence"),
    (_leave_oneof, "changed its oneof"),
    (_renumber_enum_value, "Kind.KIND_GOOD changed its number from 1 to 2"),
    (_remove_enum_value, "Kind.KIND_GOOD was removed"),
    (_remove_message, "message AskResponse was removed"),
    (_remove_enum, "enum Kind was removed"),
    (_remove_rpc, "rpc AskService.Ask was removed"),
    (_stream_response, "rpc AskService.Ask changed"),
    (_swap_response, "rpc AskService.Ask changed"),
    (_remove_service, "service AskService was removed"),
    (_move_package, "package prudence.v1 became prudence.v2"),
]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    return compile_text(tmp_path_factory.mktemp("small"), PROTO)


@pytest.mark.parametrize(("change", "expected"), BREAKS, ids=[change.__name__ for change, _ in BREAKS])
def test_a_breaking_change_is_named(
    small: FileDescriptorSet, change: Callable[[FileDescriptorProto], None], expected: str
) -> None:
    changed = FileDescriptorSet()
    changed.CopyFrom(small)
    change(changed.file[0])
    breaks = find_breaks(small, changed)
    assert len(breaks) == 1
    assert expected in breaks[0]


def test_a_removed_file_is_a_break(small: FileDescriptorSet) -> None:
    assert find_breaks(small, FileDescriptorSet()) == ["file prudence/v1/ask.proto was removed"]


def test_additions_are_no_break(small: FileDescriptorSet, tmp_path: Path) -> None:
    wider = PROTO.replace("  string text = 1;", "  string text = 1;\n  // More.\n  string more = 2;")
    wider = wider.replace("KIND_GOOD = 1;", "KIND_GOOD = 1;\n  KIND_BAD = 2;")
    assert find_breaks(small, compile_text(tmp_path, wider)) == []


NAMING_FAULTS = [
    ("AskResponse", "Ask_Response", "must be PascalCase"),
    ("string text", "string Text", "must be lower_snake_case"),
    ("KIND_GOOD", "GOOD", "start with KIND_"),
    ("KIND_UNSPECIFIED", "KIND_NONE", "must start with KIND_UNSPECIFIED = 0"),
    ("AskService", "Asker", "must end in Service"),
    ("  // The text.\n", "", "field AskResponse.text has no comment"),
    ("// Serves.\n", "", "service AskService has no comment"),
    ("  // Asks.\n", "", "rpc AskService.Ask has no comment"),
    ("// Answers.\n", "", "message AskResponse has no comment"),
    ("// A kind.\n", "", "enum Kind has no comment"),
    ("thing_count", "things", "must end in _count"),
    ("int32 thing_count", "double thing_count", "ends in _count and must be an integer"),
    ("string text", "int64 text_time", "ends in _time and must be a Timestamp"),
    ("string text", "int64 product_id", "is an id and must be a string"),
    ("returns (AskResponse)", "returns (AskRequest)", "must use AskResponse"),
    ("package prudence.v1", "package prudence", "must be lower case and end in a version"),
    ("package prudence.v1", "package prudence.v2", "must stand in the folder of the same name"),
]


@pytest.mark.parametrize(("old", "new", "expected"), NAMING_FAULTS)
def test_a_broken_naming_rule_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    faults = find_faults(compile_text(tmp_path, PROTO.replace(old, new)))
    assert any(expected in fault for fault in faults), faults


def test_a_timestamp_must_end_in_time(tmp_path: Path) -> None:
    text = PROTO.replace(
        "package prudence.v1;", 'package prudence.v1;\nimport "google/protobuf/timestamp.proto";'
    )
    text = text.replace("string text = 1;", "google.protobuf.Timestamp moment = 1;")
    assert find_faults(compile_text(tmp_path, text)) == [
        "prudence/v1/ask.proto: field AskResponse.moment is a Timestamp and must end in _time"
    ]


def test_the_small_contract_has_no_fault(small: FileDescriptorSet) -> None:
    assert find_faults(small) == []


def test_regenerate_writes_stubs_and_descriptor(tmp_path: Path) -> None:
    compile_text(tmp_path, PROTO)
    descriptor = tmp_path / "committed.binpb"
    assert regenerate(tmp_path, descriptor) == 4
    assert (tmp_path / "prudence/v1/ask_pb2_grpc.pyi").exists()
    assert read_descriptor(descriptor).file[0].package == "prudence.v1"


def test_regenerate_removes_stubs_without_a_source(tmp_path: Path) -> None:
    compile_text(tmp_path, PROTO)
    orphan = tmp_path / "prudence/v1/gone_pb2.py"
    orphan.write_text("", encoding="utf-8")
    regenerate(tmp_path, tmp_path / "committed.binpb")
    assert not orphan.exists()


def test_regenerate_refuses_a_break_and_writes_nothing(tmp_path: Path) -> None:
    compile_text(tmp_path, PROTO)
    descriptor = tmp_path / "committed.binpb"
    regenerate(tmp_path, descriptor)
    before = {path: path.read_bytes() for path in [descriptor, *(tmp_path / "prudence/v1").glob("*_pb2*")]}
    source = tmp_path / "prudence/v1/ask.proto"
    source.write_text(PROTO.replace("text = 1", "text = 2"), encoding="utf-8")
    with pytest.raises(ContractBreakError, match=r"AskResponse\.text changed its number from 1 to 2"):
        regenerate(tmp_path, descriptor)
    assert {path: path.read_bytes() for path in before} == before


def test_compile_names_the_line_that_protoc_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractCompileError, match=r"ask\.proto:12"):
        compile_text(tmp_path, PROTO.replace("message AskRequest", "mess AskRequest"))


def test_read_descriptor_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DescriptorFileError, match=r"absent\.binpb"):
        read_descriptor(tmp_path / "absent.binpb")


def test_read_descriptor_refuses_garbage(tmp_path: Path) -> None:
    path = tmp_path / "garbage.binpb"
    path.write_bytes(b"\xff\xff\xff")
    with pytest.raises(DescriptorFileError, match=r"garbage\.binpb"):
        read_descriptor(path)
