"""One process per run folder, by a lock of the operating system on `ledger.lock`.

The kernel lets go of it when the process ends, however it ends: there is nothing to clean up after `kill -9`.
The file stays behind on purpose: removing it would let two processes lock two different files of one name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from clair.errors import LedgerError, UsageError


def make_folder(run_dir: Path) -> None:
    """Make a run folder. Raises UsageError if something else has its name, LedgerError if the system refuses."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = UsageError if isinstance(error, FileExistsError | NotADirectoryError) else LedgerError
        raise kind(f"cannot make the run folder {run_dir}: {error.strerror}. Choose another with -o.") from error


class RunLock:
    """Held from construction to `release()`. Raises LedgerError at once if the folder is taken or unwritable.

    It also keeps out a second open in the same process. A child made by `os.fork` shares its parent's hold.
    """

    def __init__(self, run_dir: Path) -> None:
        path = run_dir / "ledger.lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise LedgerError(
                f"cannot write in the run folder {run_dir}: {error.strerror}. "
                "Give yourself write access to it, or choose another folder with -o."
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except OSError as error:
            holder = os.pread(self._fd, 20, 0).decode(errors="replace")
            os.close(self._fd)
            raise _refusal(run_dir, error, holder) from error

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._fd)


def _refusal(run_dir: Path, error: OSError, holder: str) -> LedgerError:
    if isinstance(error, BlockingIOError):
        who = f"process {holder}" if holder else "another process"
        return LedgerError(
            f"{run_dir} is in use by {who}. Wait until it ends or stop it, then run the same command again."
        )
    return LedgerError(
        f"cannot lock the run folder {run_dir}: {error.strerror}. "
        "Its file system must have locks and free space; a local disk has both."
    )
