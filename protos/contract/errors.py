"""What can go wrong while the wire contract is generated or checked.

ContractError
+-- ContractCompileError     protoc refused a .proto file
+-- ContractBreakError       the new contract would break callers of the committed one
+-- DescriptorFileError      the committed descriptor set cannot be read
"""


class ContractError(Exception):
    """Any fault of the wire contract."""


class ContractCompileError(ContractError):
    """protoc refused a .proto file."""


class ContractBreakError(ContractError):
    """The new contract would break callers of the committed one."""


class DescriptorFileError(ContractError):
    """The committed descriptor set cannot be read."""
