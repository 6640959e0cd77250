"""Doors to the world: the only importers of docker, asyncssh and pygit2."""
