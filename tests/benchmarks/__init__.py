"""Benchmarks: `make bench`, or `python -m tests.benchmarks NAME...`. They print tables and fail on no figure."""
