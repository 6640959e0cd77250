"""Where the features of a configuration come from: beside it, or from a registry.

Credentials are docker's. What was fetched is kept, and its tag means the same until somebody asks
for newer ones (`image build --pull`): as docker does with images. A `devcontainer-lock.json`
beside the configuration says which version it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from rumpel.adapters import feature_files, oci
from rumpel.adapters.feature_files import Store
from rumpel.devcontainer import feature_schema
from rumpel.devcontainer.feature_order import Fetched
from rumpel.devcontainer.feature_ref import FeatureRef
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.positions import Path as FieldPath
from rumpel.errors import RumpelError

LOCKS = ("devcontainer-lock.json", ".devcontainer-lock.json")
MAX_LOCK_BYTES = 1 << 20
PINNED = re.compile(r"[^@\s]+@(sha256:[0-9a-f]{64})")


def fetcher(
    cache: Path, root: str, source: str, *, is_newer: bool = False
) -> Callable[[FeatureRef, FieldPath], Fetched]:
    """`source`: the configuration, relative to `root`. Blocking; for one reading of it.

    `is_newer`: what a tag stands for is asked again.
    """
    store, folder = feature_files.store(cache), Path(root, source).parent
    pins: list[dict[str, str]] = []  # read with the first feature that may have one
    known: dict[FeatureRef, Fetched] = {}

    def fetch(ref: FeatureRef, path: FieldPath) -> Fetched:
        nonlocal pins
        if ref not in known:
            try:
                if ref.kind == "local":
                    known[ref] = _local(store, root, folder, ref)
                elif ref.kind == "tarball":
                    known[ref] = _tarball(store, ref, is_newer=is_newer)
                else:
                    pins = pins or [_pins(folder, source)]
                    pin = pins[0].get(ref.written, "")
                    known[ref] = _of_registry(store, ref, pin=pin, is_newer=is_newer)
            except FieldError:
                raise
            except OSError as error:
                why = error.strerror or str(error)
                raise FieldError(
                    path, f"feature {ref.written} cannot be read: {why}", is_key=True
                ) from error
            except RumpelError as error:
                raise FieldError(path, error.message, hint=error.hint, is_key=True) from error
        return known[ref]

    return fetch


def _local(store: Store, root: str, folder: Path, ref: FeatureRef) -> Fetched:
    """Below `.devcontainer` of the repository, whatever links lead there."""
    place = Path(os.path.realpath(folder / ref.source))
    top, inside = Path(os.path.realpath(root)), Path(os.path.realpath(Path(root, ".devcontainer")))
    if not (place.is_relative_to(inside) and place.is_relative_to(top)):
        raise RumpelError(f"feature {ref.written} must lie in .devcontainer")
    if not place.is_dir():
        raise RumpelError(f"feature {ref.written}: there is no folder {place.relative_to(inside)}")
    packed = feature_files.pack(place)
    return _read(store, ref, packed, identity=str(place))


def _tarball(store: Store, ref: FeatureRef, *, is_newer: bool) -> Fetched:
    note = _Note(store, ref.source)
    digest = "" if is_newer else note.read().get("content", "")
    packed = _kept(store, digest)
    if packed is None:
        packed = feature_files.repack(oci.download(ref.source), ref.written)
        note.write({"content": store.put(packed)})
    return _read(store, ref, packed, identity=hashlib.sha256(packed).hexdigest())


def _of_registry(store: Store, ref: FeatureRef, *, pin: str, is_newer: bool) -> Fetched:
    wanted = ref.digest or pin or ref.tag
    note = _Note(store, f"{ref.source} {wanted}")
    is_fixed = wanted.startswith("sha256:")
    said = note.read() if is_fixed or not is_newer else {}
    packed = _kept(store, said.get("content", ""))
    if packed is None or "digest" not in said:
        found = oci.manifest(ref.host, ref.name, wanted)
        layer = oci.blob(ref.host, ref.name, found.layer)
        packed = feature_files.repack(layer, ref.written)
        said = {"content": store.put(packed), "digest": found.digest}
        note.write(said)
    return _read(store, ref, packed, identity=said["digest"])


def _read(store: Store, ref: FeatureRef, packed: bytes, *, identity: str) -> Fetched:
    text = feature_files.member(packed, feature_schema.FILE)
    if text is None:
        raise RumpelError(f"feature {ref.written} has no {feature_schema.FILE}")
    if feature_files.member(packed, "install.sh") is None:
        raise RumpelError(f"feature {ref.written} has no install.sh")
    about = feature_schema.described(text, ref.written)
    return Fetched(about=about, identity=identity, content=store.put(packed))


def _kept(store: Store, digest: str) -> bytes | None:
    if not feature_files.DIGEST.fullmatch(digest):
        return None
    try:
        return store.read(digest)
    except RumpelError:
        return None


class _Note:
    """What was found under a name, beside the files."""

    def __init__(self, store: Store, name: str) -> None:
        self._path = store.folder / "names" / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, said: dict[str, str]) -> None:
        feature_files.write(self._path, json.dumps(said).encode())


def _pins(folder: Path, source: str) -> dict[str, str]:
    """Feature as written -> digest of its manifest, of the lock file; nothing when it has none."""
    name = LOCKS[1] if Path(source).name.startswith(".") else LOCKS[0]
    try:
        with (folder / name).open("rb") as file:
            said = json.loads(file.read(MAX_LOCK_BYTES) or b"{}")
        entries = said.get("features", {}).items()
        found = {
            str(written): PINNED.fullmatch(str(entry.get("resolved", "")))
            for written, entry in entries
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise RumpelError(f"{folder / name} is no lock file of features") from error
    return {written: match[1] for written, match in found.items() if match is not None}
