"""`--engine ray`: the rows of one run driven by workers on many machines.

    clair generate prompts.jsonl -o run --target ... --reviser ... --engine ray --workers 16 --address auto

The driver (this process) is the run of one process, but for one thing: a row is not driven here, it is handed to a
worker. A worker asks the models, parses and gates; each answer that it pays for goes to the driver's ledger and is
looked into when it is durable there. There is one ledger, one reader of the input, one budget and one lock, so what
holds for a run in one process holds here by the same code: killed anywhere, only requests in flight are bought twice.
The run folder must be on a disk of the driver; workers need none, and no storage is shared.

cluster (Ray itself) · fleet (which worker drives a row, what happens when one is lost) · desk (the driver's side of one
worker) · worker (its other side) · mail, messages (what they tell each other) · leave (limits that all share) · replay
(rows driven over the ledger alone)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary
    from clair.pipeline.progress import Progress
    from clair.pipeline.run import OnStop, Opened
    from clair.settings import GenerateSettings


async def agenerate_on_ray(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> RunSummary:
    """Run or resume, as `clair.pipeline.run.agenerate` does. Raises UsageError without Ray or the cluster too."""
    from clair.engines.ray.cluster import imported, join
    from clair.engines.ray.fleet import Fleet
    from clair.pipeline.run import agenerate

    imported()

    async def fleet(opened: Opened) -> Fleet:
        cluster = await join(settings.address, workers=settings.workers)
        seats = settings.workers or min(cluster.machines, settings.concurrency or cluster.machines)
        return Fleet(opened, cluster, seats=seats)

    return await agenerate(settings, progress=progress, on_stop=on_stop, open_site=fleet)
