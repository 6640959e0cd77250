"""The command line: parse, ask the daemon, show the answer. Standard library only."""
