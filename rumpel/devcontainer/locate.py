"""Find devcontainer.json: the two standard places, then one folder per named configuration."""

from __future__ import annotations

from pathlib import Path

from rumpel.errors import ConfigError

STANDARD = (".devcontainer/devcontainer.json", ".devcontainer.json")


class SeveralConfigs(ConfigError):
    """None of them is the standard one."""

    def __init__(self, candidates: list[str]) -> None:
        super().__init__(
            f"{len(candidates)} configurations and none is the standard one: "
            f"{', '.join(candidates)}",
            hint=f"--config {candidates[0]}",
            details={"candidates": candidates},
        )
        self.candidates = candidates


def find(root: str) -> list[str]:
    """Candidates relative to `root`, in the order of the specification (the first wins)."""
    base = Path(root)
    found = [place for place in STANDARD if (base / place).is_file()]
    named = sorted(path.parent.name for path in base.glob(".devcontainer/*/devcontainer.json"))
    return found + [f".devcontainer/{name}/devcontainer.json" for name in named]


def choose(root: str, config_path: str | None) -> str | None:
    """The configuration to use, relative to `root`; None when there is none.

    Raises: ConfigError when the asked one is missing, SeveralConfigs when that is a choice.
    """
    try:
        if config_path is not None:
            return _asked(root, config_path)
        candidates = find(root)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    if not candidates:
        return None
    if candidates[0] in STANDARD or len(candidates) == 1:
        return candidates[0]
    raise SeveralConfigs(candidates)


def _asked(root: str, config_path: str) -> str:
    base = Path(root)
    inside = "devcontainer.json"
    guesses = (config_path, f"{config_path}/{inside}", f".devcontainer/{config_path}/{inside}")
    for guess in guesses:
        path = base / guess
        if path.is_file():
            if not path.is_relative_to(base) or ".." in path.parts:
                path = path.resolve()
                base = base.resolve()
            if not path.is_relative_to(base):
                raise ConfigError(f"the configuration {config_path} is outside the repository")
            return path.relative_to(base).as_posix()
    known = find(root)
    raise ConfigError(
        f"no configuration {config_path} in the repository",
        hint=f"--config {known[0]}" if known else None,
        details={"candidates": known},
    )
