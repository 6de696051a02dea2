"""What can go wrong between a trained run and an export.

ExportError
├── ExportInputError      the data does not fit the run: the caller's fault
├── ExportOutputError     the target exists, or cannot be written
├── ExportGraphError      a tower could not be written as a self-contained ONNX graph
├── ExportParityError     the ONNX graph does not compute what the trained tower computes
├── ExportPrecisionError  a tower holds nothing that could be stored in the precision asked for
└── ExportQualityError    what is stored in fewer bits ranks too differently from float32
"""


class ExportError(Exception):
    """Root of everything that `export` raises on purpose."""


class ExportInputError(ExportError):
    """The data does not fit the run."""


class ExportOutputError(ExportError):
    """The target exists already, or cannot be written."""


class ExportGraphError(ExportError):
    """A tower could not be written as a self-contained ONNX graph."""


class ExportParityError(ExportError):
    """The ONNX graph does not compute what the trained tower computes."""


class ExportPrecisionError(ExportError):
    """A tower holds nothing that could be stored in the precision asked for."""


class ExportQualityError(ExportError):
    """What is stored in fewer bits ranks too differently from float32."""
