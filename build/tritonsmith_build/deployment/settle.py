"""What a server does before it reads a deployed copy: put right what an upgrade that was cut off left there."""

from __future__ import annotations

import errno
from pathlib import Path

from tritonsmith_build.deployment.copy import Copy
from tritonsmith_build.deployment.record import RECORD, read_record


def settle(repository: Path) -> None:
    """Let every pipeline be the version that the record calls live; a folder without a record is left alone.

    Where it may not be written it is served as it stands, which holds a whole version at every moment of an upgrade.
    """
    if not (repository / RECORD).is_file():
        return
    for pipeline, deployed in read_record(repository).items():
        try:
            Copy(repository, pipeline).settle(deployed.live)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
