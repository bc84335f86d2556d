"""`--engine batch`: the reviser's or judge's questions go to a provider's Batch API, at half the price within a day.

The run is made in passes over the input (`run.py`). A pass is an ordinary run in which some questions are not answered
at once: they are collected (`lane.py`) into files and submitted as batches, and their rows wait. Once a batch has
ended its answers are in the ledger, and the next pass replays the waiting rows from there, for free, to their next
question. So a row costs no memory while it waits for a day, leaving (`--detach`) and being killed are the same as
waiting, and the recipe, ledger, gate and files are those of every other run.

records (what was submitted, durably before it is) · lane (one model's file, limits and batches) · settling (what came
back) · answers (which questions go by batch) · run (the passes)
"""

from clair.engines.batch.run import agenerate_by_batch

__all__ = ["agenerate_by_batch"]
