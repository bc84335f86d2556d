"""The ledger of a run: every paid answer and every row's outcome, safe on disk before anybody relies on it.

    with Ledger.open(run_dir, create=True) as ledger:
        ledger.check_settings({"target": "m@http://..."})
        key = content_key(identity="m@http://...", body=body, sample_index=0)
        if ledger.get(key) is None:
            await ledger.put(key, stage="sample", model="m", raw=raw, ...)   # returns when it is durable

`store.py` is the whole of it in one class. `writer.py` commits in groups, `rows.py` is what it inserts,
`claims.py` knows which rows belong to this pass, `database.py` holds the tables and says what a broken file
means, `lock.py` keeps a second process out, `sealing.py` says what the last one left, `guarding.py` and `reading.py`
find values that are not those written, `forking.py` starts a new run with the answers of another.
"""

from clair.ledger.forking import fork
from clair.ledger.keys import canonical_json, content_key
from clair.ledger.rows import Spending, Totals
from clair.ledger.store import Ledger, StoredOutcome, StoredReply

__all__ = [
    "Ledger",
    "Spending",
    "StoredOutcome",
    "StoredReply",
    "Totals",
    "canonical_json",
    "content_key",
    "fork",
]
