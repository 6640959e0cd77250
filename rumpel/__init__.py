"""Many named, independent workspaces ("pods") of one git repository in containers."""

__version__ = "0.1.0"
