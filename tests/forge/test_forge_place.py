"""Which of a forge's repositories a remote means."""

from __future__ import annotations

import pytest

from overnight.landing.forge.settings import Place, place_of

HUB, ENTERPRISE = "https://github.com", "https://ghe.example:8443/git"


@pytest.mark.parametrize(
    ("url", "git"),
    [
        ("https://github.com/acme/site", HUB),
        ("https://github.com/acme/site.git", HUB),
        ("https://GitHub.com/acme/site.git/", HUB),
        ("https://pat:token@github.com/acme/site.git", HUB),
        ("git@github.com:acme/site.git", HUB),
        ("git@github.com:/acme/site", HUB),
        ("github.com:acme/site.git", HUB),
        ("org-1234@github.com:acme/site.git", HUB),
        ("ssh://git@github.com/acme/site.git", HUB),
        ("ssh://git@github.com:22/acme/site.git", HUB),
        ("ssh://git@ssh.github.com:443/acme/site.git", HUB),
        ("git@ssh.github.com:acme/site.git", HUB),
        ("https://ghe.example:8443/git/acme/site.git", ENTERPRISE),
        ("git@ghe.example:acme/site.git", ENTERPRISE),
        ("ssh://git@ghe.example:7999/acme/site.git", ENTERPRISE),
    ],
)
def test_a_remote_on_the_forge_names_its_place(url: str, git: str) -> None:
    """Over HTTPS or SSH, with or without a user, a port and the ending."""
    assert place_of(url, git) == Place("acme", "site")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/acme/site.git",
        "file:///srv/git/acme/site.git",
        "git@gitlab.example:acme/site.git",
        "git@github.com-work:acme/site.git",
        "git@github.com.evil.example:acme/site.git",
        "https://github.com@evil.example/acme/site.git",
        "https://github.com/acme",
        "https://github.com/acme/site/tree/main",
        "git@github.com:acme/..",
        "ssh://git@github.com/acme/",
        "https://github.com/ac me/site",
    ],
)
def test_a_remote_elsewhere_names_none(url: str) -> None:
    """Another host, however much it looks like ours, an alias that only SSH knows, and what is no repository."""
    assert place_of(url, HUB) is None
