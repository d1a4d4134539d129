"""The key that signs checkpoints: Ed25519, made on first use, readable by its owner alone, never shown to a box."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.errors import AuditKeyUnusable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Signatures are about nothing else than this.
_ABOUT = b"overnight audit checkpoint "


class Key:
    """A private key from its file."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        #: The public half, hex.
        self.public = private.public_key().public_bytes_raw().hex()

    def sign(self, digest: str) -> str:
        """A signature in hex."""
        return self._private.sign(_ABOUT + digest.encode()).hex()


def read_key(path: Path) -> Key | None:
    """The key; None when there is none. Raises AuditKeyUnusable."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        data = path.read_bytes()
        private = load_pem_private_key(data, password=None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise AuditKeyUnusable(path=path, reason=error) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise AuditKeyUnusable(path=path, reason="it is not an Ed25519 key")
    return Key(private)


def make_key(path: Path) -> Key:
    """The key, made if there is none. Raises AuditKeyUnusable, OSError."""
    if (found := read_key(path)) is not None:
        return found
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"key.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    try:
        path.hardlink_to(part)  # unlike a rename, this never takes another's place
    except FileExistsError:
        return make_key(path)
    finally:
        part.unlink()
    return Key(private)


def signed_by(public: str, digest: str, signature: str) -> bool:
    """Whether a digest was signed with the private half of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), _ABOUT + digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
