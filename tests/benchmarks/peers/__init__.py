"""clair beside its peers: distilabel's CLAIR task and bespoke curator. `python -m tests.benchmarks.peers` runs it."""
