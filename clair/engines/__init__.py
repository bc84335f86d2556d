"""Where a generation runs: in this process ("here"), on a Ray cluster ("ray"), or through a Batch API ("batch").

    summary = await agenerate_with(resolve({"engine": "ray", ...}))

Recipe, ledger, gate and files are the same code in all three, and one run folder may go on with another engine: an
answer that was bought by one is found by the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clair.errors import UsageError

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary
    from clair.pipeline.progress import Progress
    from clair.pipeline.run import OnStop
    from clair.settings import GenerateSettings

BATCHES = "ledger.batches.sqlite"
"""In the run folder, what `clair.engines.batch` has submitted."""


async def agenerate_with(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> RunSummary:
    """`clair.pipeline.run.agenerate` on the engine that the settings name.

    Raises UsageError if batches are under way and the engine is another: it would buy their answers again.
    """
    if settings.engine != "batch":
        refuse_batches_under_way(settings)
    if settings.engine == "ray":
        from clair.engines.ray import agenerate_on_ray

        return await agenerate_on_ray(settings, progress=progress, on_stop=on_stop)
    if settings.engine == "batch":
        from clair.engines.batch import agenerate_by_batch

        return await agenerate_by_batch(settings, progress=progress, on_stop=on_stop)
    from clair.pipeline.run import agenerate

    return await agenerate(settings, progress=progress, on_stop=on_stop)


def refuse_batches_under_way(settings: GenerateSettings) -> None:
    """Raise UsageError if questions of this run are under way in batches, and would be bought again online."""
    from clair.engines.batch.records import requests_under_way

    requests = requests_under_way(settings.run_dir)
    if requests:
        raise UsageError(
            f"{requests:,} requests of {settings.out} are under way in batches, and would be bought again. Collect "
            "them first, with the command that submitted them (--engine batch)"
        )
