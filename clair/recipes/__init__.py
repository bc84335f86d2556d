"""How pairs are made. A recipe is a generator: it yields questions, is sent the answers, and returns one outcome."""
