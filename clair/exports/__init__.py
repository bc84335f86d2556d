"""Exports: a run in the format of another trainer.

    from clair.exports import export

    export("run", "llama-factory", "run-for-llama-factory", test_share=0.05)

`formats` has the formats, `rows` reads a run, `split` chooses train or test, `sides` writes the data files, `folder`
puts them in place, `card` makes the texts beside them, `exporting` ties these together.
"""

from __future__ import annotations

from clair.exports.exporting import Exported, export

__all__ = ["Exported", "export"]
