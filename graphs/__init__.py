"""Which operations, in which order: pure functions from a request to a Graph."""
