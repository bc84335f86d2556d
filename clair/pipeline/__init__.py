"""From rows to outcomes: the engine, where answers come from, the budget, and the run around them."""
