"""Copies a set from one destination to another: the stored bytes, so that no identity is needed.

Every digest is checked on the way, and again as the target gives the bytes back; the manifest comes last.
"""

import hashlib
from collections.abc import Callable

from backups.destinations.base import Destination, NotThere, Reader
from backups.pipe.decode import Damaged
from backups.pipe.stream import BLOCK
from backups.storage import layout
from backups.storage.checksums import parse_checksums
from backups.storage.readback import ReadableCopy
from backups.storage.references import located, owner_of, within
from drcenter.errors import OperationFailed


def copy(
    source: ReadableCopy,
    target: Destination,
    advance: Callable[[int], None],
    before_manifest: Callable[[], None] = lambda: None,
    *,
    go_on: bool = False,
) -> None:
    """Copy a set byte for byte. Raises Damaged when the source is not what was published, OperationFailed otherwise.

    `advance` hears of every block, and may wait: to keep a bandwidth limit. `before_manifest` may raise to keep the
    copy from becoming a set. What the set needs of earlier sets has to be at the target already. `go_on`: with what an
    earlier try has left there.
    """
    digests = parse_checksums(source.content(layout.CHECKSUMS).decode())
    own = {name for name in digests if not owner_of(name)}
    for name in sorted(digests.keys() - own):
        _require_there(source, target, name)
    names = [*sorted(own - {layout.MANIFEST}), layout.CHECKSUMS, layout.SIGNATURE, layout.MANIFEST]
    for name in names:
        if name == layout.MANIFEST:
            before_manifest()
        # A store that replaces nothing takes none of them twice.
        if not go_on or not _is_there(source, target, name, digests.get(name)):
            _copy_object(source, target, name, digests.get(name), advance)


def _is_there(source: ReadableCopy, target: Destination, name: str, digest: str | None) -> bool:
    """Whether an earlier try has copied the object: the target gives back the bytes that were published.

    What checksums.txt does not name, itself and its signature, is compared with what the source has.
    """
    key = source.prefix + name
    try:
        found = target.head(key)
    except NotThere:
        return False
    if found.size != source.destination.head(key).size:
        return False
    published = digest or hashlib.sha256(source.content(name)).hexdigest()
    return found.checksum == f"sha256:{published}" or _digest(target, key) == published


def _require_there(source: ReadableCopy, target: Destination, name: str) -> None:
    """Raises OperationFailed unless the target holds that object of an earlier set, in the size that it has here."""
    key = located(source.prefix, name)
    try:
        found = target.head(key).size
    except NotThere:
        raise OperationFailed(
            f"This set needs {owner_of(name)}, of which {within(name)} is not at {target.target}.",
            "Copy the earlier set there first.",
        ) from None
    if found != source.destination.head(key).size:
        raise OperationFailed(f"{key} has another size at {target.target} than at the first destination.")


def _copy_object(
    source: ReadableCopy, target: Destination, name: str, digest: str | None, advance: Callable[[int], None]
) -> None:
    key = source.prefix + name
    with source.stored(name) as opened:
        stream = _Digesting(opened, key, digest, advance)
        stored = target.replay(key, stream, expected_size=source.destination.head(key).size)
    if target.head(key).size != stream.size or stored.size != stream.size:
        raise OperationFailed(f"{key} has another size at {target.target} than what was sent.")
    if stored.checksum != f"sha256:{stream.sha256}" and _digest(target, key) != stream.sha256:
        raise OperationFailed(f"{key} does not come back from {target.target} as it was sent.")


def _digest(target: Destination, key: str) -> str:
    """Of what the target gives back; a store that computed the digest itself need not be asked."""
    digest = hashlib.sha256()
    with target.open(key) as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class _Digesting:
    """A reader that raises at the end, before the store publishes, when the digest is not the expected one."""

    def __init__(
        self, source: Reader, key: str, expected: str | None, advance: Callable[[int], None]
    ) -> None:
        self._source, self._key, self._expected, self._advance = source, key, expected, advance
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        block = self._source.read(size if size >= 0 else BLOCK)
        self._digest.update(block)
        self.size += len(block)
        self._advance(len(block))
        if not block and self._expected is not None and self._digest.hexdigest() != self._expected:
            raise Damaged(f"{self._key} is damaged where it is copied from; it is not copied.")
        return block

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
