"""devcontainer.json: find, read, validate, substitute. Pure."""
