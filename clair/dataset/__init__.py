"""The run folder as a dataset: Parquet shards, the dataset card and run.json, written from outcomes.

    tally = Tally()
    write_split(tally.watch(pairs), run_dir, "pairs")
    write_split(tally.watch(rejects), run_dir, "rejects")
    summary = tally.summary(facts)
    write_card(run_dir, summary, tally.examples())
    write_run_json(run_dir, summary)

`schema` has the columns, `codec` outcomes as bytes for the ledger, `invariants` what is checked on writing,
`writer` the shards, `loading` reads them back, `summary` has the figures of a run, `card` makes README.md,
`run_json` makes run.json. Import from the modules: `codec` and `summary` are light, `writer` needs pyarrow.
"""
