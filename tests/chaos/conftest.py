"""Nothing that an attack starts outlives its test."""

from tests.pipeline.conftest import no_process_is_left

__all__ = ["no_process_is_left"]
