"""Real servers for tests: they listen on the loopback interface and speak the real protocol."""
