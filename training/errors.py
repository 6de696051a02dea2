"""What can go wrong between raw data and trained towers; one tree, a caller's faults beside ours.

TrainingError
├── DataError                    the input is wrong: the caller's fault
│   ├── MissingFileError         a named file or directory is not there or cannot be read
│   ├── SchemaError              a column is missing, unknown or of the wrong type
│   ├── EmptyDataError           a table holds no valid row
│   ├── RowError                 a row is wrong and the caller asked for strictness
│   │   └── DuplicateIdError     two rows share an id
│   ├── AssumptionError          an assumptions file is malformed or does not fit its data
│   └── SourceError              a data set lacks its description, or the description is malformed
├── SettingError                 a setting is out of range or unknown: the caller's fault
│   └── DeviceError              the settings name a device that this machine does not have
├── OutputError                  the target exists, or cannot be written
├── CheckpointError              a checkpoint is missing, damaged or belongs to other settings
├── RankError                    of several processes, another one ended or did not answer in time
├── DivergenceError              training produced a number that is not finite
└── ReadingError                 a library's model was not read out as it answers
"""


class TrainingError(Exception):
    """Root of everything that `training` raises on purpose."""


class DataError(TrainingError):
    """Input data is wrong; the message names the file or field, what was expected and what was found."""


class MissingFileError(DataError):
    """A file or directory is not there or cannot be read."""


class SchemaError(DataError):
    """A file is not the table it should be."""


class EmptyDataError(DataError):
    """A table holds no valid row."""


class RowError(DataError):
    """A row is wrong and the caller asked that no row be set aside."""


class DuplicateIdError(RowError):
    """Two rows share an id."""


class AssumptionError(DataError):
    """An assumptions file is malformed or does not fit the data that it is applied to."""


class SourceError(DataError):
    """A data set lacks its description, or the description is malformed."""


class SettingError(TrainingError):
    """A setting is out of range or unknown."""


class DeviceError(SettingError):
    """The settings name a device that this machine does not have."""


class OutputError(TrainingError):
    """The target exists already, or cannot be written."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged or belongs to other settings."""


class RankError(TrainingError):
    """Of several processes that train together, another one ended or did not answer in time."""


class DivergenceError(TrainingError):
    """Training produced a number that is not finite."""


class ReadingError(TrainingError):
    """A model that another library trained was not read out as the library itself answers."""
