"""A certificate that the tests of one process share."""

from __future__ import annotations

import shutil

import certificates
import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificate:
    """For model.test and allowed.test."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    return certificates.make(tmp_path_factory.mktemp("certificate"), "model.test", "allowed.test")
