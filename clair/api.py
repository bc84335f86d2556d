"""`clair generate` as a function, with the command's parameters under the same names.

summary = clair.generate(prompts="prompts.jsonl", out="run", target="m@http://localhost:8000/v1", reviser="gpt-5")
summary = await clair.agenerate(...)
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clair.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clair.dataset.summary import RunSummary
    from clair.pipeline.progress import Progress

Result = TypeVar("Result")


async def agenerate(
    *, config: str | Path | None = None, progress: Progress | None = None, **options: Any
) -> RunSummary:
    """Run or resume a generation; every setting of `GenerateSettings` is a keyword.

    Returns the summary of the run folder. Raises UsageError before anything is bought, RunStopped or LedgerError
    when the run had to stop (the same call resumes it).
    """
    from clair.engines import agenerate_with as run

    return await run(resolve(options, Path(config) if config else None), progress=progress)


def generate(*, config: str | Path | None = None, progress: Progress | None = None, **options: Any) -> RunSummary:
    """`agenerate` for code without an event loop; Ctrl-C drains, commits and raises KeyboardInterrupt."""
    from clair.engines import agenerate_with as run

    settings = resolve(options, Path(config) if config else None)
    interrupts = Interrupts()

    async def main() -> RunSummary:
        with interrupts.caught():
            return await run(settings, progress=progress, on_stop=interrupts.on_stop)

    summary = run_async(main())
    if interrupts.count:
        raise KeyboardInterrupt
    return summary


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop where it is installed: 10 to 40 % less CPU per request, less memory per connection."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    result: Result = uvloop.run(work)
    return result


class Interrupts:
    """The first Ctrl-C asks the run to stop and drain; the second leaves at once. SIGTERM is the same, and the command
    exits with 130 after either: drained and committed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._stop: Callable[[], None] | None = None

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Take the function that ends the run; call it now if the interrupt came first."""
        self._stop = stop
        if self.count:
            stop()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside a running loop; a no-op outside the main thread.

        Raises KeyboardInterrupt in place of the cancellation that a second signal makes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._hear, task)
        try:
            yield
        except asyncio.CancelledError:
            if self.count < 2:
                raise
            raise KeyboardInterrupt from None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _hear(self, task: asyncio.Task[Any]) -> None:
        self.count += 1
        if self._stop is not None and self.count == 1:
            self._stop()
        elif self.count > 1:
            task.cancel()
