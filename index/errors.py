"""Errors of the index package.

IndexPackageError
|-- VectorValueError             a vector or scale that cannot be used: NaN, infinite, wrong shape
|-- FeatureError                 feature transforms (index.features)
|   |-- FeatureSchemaError       a spec or vocabulary with unknown, missing or wrong keys
|   |-- FeatureColumnError       a catalogue lacks a column that the model has learned from
|   `-- FeatureValueError        a value that cannot be encoded
|-- RiskFieldError               a value of a borrower's record that a risk model cannot read; `.field`
|-- BuildInputError              an input of `index build` is missing or wrong
|-- AnnError                     the nearest-neighbour index
|   |-- AnnDeviceError           the device asked for is not there
|   |-- AnnQueryError            a query that must not reach faiss
|   `-- AnnFormatError           an index file that is not what the bundle says
`-- BundleError                  a bundle on disk; `.file` names the file
    |-- BundleNotFoundError      no such bundle, or no CURRENT
    |-- BundleExistsError        the target is already there
    |-- BundleSupersededError    CURRENT names another bundle than the one judged against
    |-- BundleWriteError         the bundle could not be written
    |-- BundleFormatError        unknown version, bad manifest, bad file content
    |   `-- BundleLinkError      a link or something that is not a plain file
    |-- BundleSignatureError     unsigned, or by nobody who may publish
    |-- BundleChecksumError      a file differs from its manifest
    `-- BundleConsistencyError   files that do not fit together
        `-- BundleVectorNormError  vectors so long that a few products would win every list
"""

from __future__ import annotations


class IndexPackageError(Exception):
    """Root of the errors of this package."""


class VectorValueError(IndexPackageError):
    """A vector or scale cannot be used."""


class FeatureError(IndexPackageError):
    """Feature transforms failed."""


class FeatureColumnError(FeatureError):
    """A catalogue lacks a column that the model has learned from."""


class FeatureSchemaError(FeatureError):
    """A feature spec or vocabulary has unknown, missing or wrong keys."""


class FeatureValueError(FeatureError):
    """A value cannot be encoded; the message names the field."""


class RiskFieldError(IndexPackageError):
    """A value of a borrower's record cannot be read; the message names the field and never the value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class BuildInputError(IndexPackageError):
    """An input of a build is missing or wrong; the message names it."""


class AnnError(IndexPackageError):
    """The nearest-neighbour index failed."""


class AnnDeviceError(AnnError):
    """The device asked for is not there."""


class AnnQueryError(AnnError):
    """A query must not reach the index."""


class AnnFormatError(AnnError):
    """An index file is not what the bundle says it is."""


class BundleError(IndexPackageError):
    """A bundle on disk is wrong; `file` names the file inside it (or the bundle itself)."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file
        self.problem = problem


class BundleNotFoundError(BundleError):
    """There is no such bundle."""


class BundleExistsError(BundleError):
    """The target of a build is already there."""


class BundleSupersededError(BundleError):
    """CURRENT names another bundle than the one that a candidate was judged against."""


class BundleWriteError(BundleError):
    """The bundle could not be written."""


class BundleFormatError(BundleError):
    """The bundle's version, manifest or a file's content is not understood."""


class BundleLinkError(BundleFormatError):
    """A bundle entry is a link or not a plain file."""


class BundleSignatureError(BundleError):
    """The bundle is not signed, or by nobody who may publish."""


class BundleChecksumError(BundleError):
    """A file differs from its manifest."""


class BundleConsistencyError(BundleError):
    """The files of a bundle do not fit together."""


class BundleVectorNormError(BundleConsistencyError):
    """Vectors of a few products are so long that these would win every list."""
