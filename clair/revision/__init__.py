"""How the reviser is asked for a revision and how its reply is read. Start at `protocol`."""
