"""What can be wrong with a backup, or with the place where backups are kept."""

from __future__ import annotations

from include.operations.error_rules import ErrorClass
from include.operations.errors import PipelineError


class BackupDamaged(PipelineError):  # noqa: N818 - named for what happened
    """The file is not what was written: cut off, changed, or of another backup."""

    error_class = ErrorClass.VALIDATION
    code = "BACKUP_DAMAGED"


class BackupKeyWrong(PipelineError):  # noqa: N818 - named for what happened
    """The backup is encrypted, and the key is missing or another one."""

    error_class = ErrorClass.AUTH
    code = "BACKUP_KEY_WRONG"


class BackupDiffers(PipelineError):  # noqa: N818 - named for what happened
    """What came out of a backup is not what went in."""

    error_class = ErrorClass.VALIDATION
    code = "BACKUP_DIFFERS"


class TargetNotEmpty(PipelineError):  # noqa: N818 - named for what happened
    """A restore would mix with what is there."""

    error_class = ErrorClass.VALIDATION
    code = "TARGET_NOT_EMPTY"


class DiskShort(PipelineError):  # noqa: N818 - named for what happened
    """There is not enough free space; waiting frees none."""

    error_class = ErrorClass.DATABASE
    code = "DISK_SHORT"


class ToolMissing(PipelineError):  # noqa: N818 - named for what happened
    """A program such as pg_dump is missing or too old."""

    error_class = ErrorClass.VALIDATION
    code = "TOOL_MISSING"


class ToolFailed(PipelineError):  # noqa: N818 - named for what happened
    """pg_dump or pg_restore ended with an error; a server that restarts is the usual reason."""

    error_class = ErrorClass.DATABASE
    transient = True
    code = "TOOL_FAILED"
