"""Secrets are recognised where they stand, and nothing else is touched."""

from __future__ import annotations

import base64

import pytest

from overnight.guard.redact import MARK, Redactor, known_secrets, redacted, sanitised

BENIGN = r"""
commit 3f786850e387550fdab836ed7e6dc881de23001b
id=550e8400-e29b-41d4-a716-446655440000
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
uv.lock: hash = "sha256:2d1c6d9a8e0f3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4"
checksum = "a5f1c5b4dc9f2b6a3fb1a9ad2e9a2f5ecd2b7c9a5dd2c5b3f2f5f1f6d4f4e3a1"
github.com/pkg/errors v0.9.1 h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=
token = self._next_token()
token: str = lexer.next_token2
const token = parser.peekToken();
if (token === Token.Identifier123) {
TOKEN_TYPE = "IDENTIFIER"
assert tokens == ["a", "b1"]
import tokenize; tokenize.generate_tokens(readline)
password = getpass.getpass("Password: ")
def login(user: str, password: str) -> None:
password_hash = hash_password(raw)
csrf_token = request.POST.get("csrf_token")
access_key = config.access_key_v2
max_tokens=4096
MAX_TOKENS=128000
total_tokens: 1234567890
--token-count 12345678
session_key: 1
primary_key=True
key = (name, value)
key=lambda item: item[1]
cache_key = f"{name}-{version}"
key: Linux-node-20-3f786850e387550fdab836ed7e6dc881de23001b
public_key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7nXb0Pq9dYb0QmYJ0n1c0x9V8w user@host
api_key = os.environ["API_KEY"]
API_KEY=${API_KEY}
password: ${{ secrets.DB_PASSWORD }}
postgres://user:password@localhost:5432/db
git clone https://github.com/example/project.git
http://127.0.0.1:8080/path?page=2&key=value
npm_config_registry=https://localhost:4873/
the token is invalid
Error: token expired at 2026-11-21T07:56:13Z
"password": "string"
secret_name = "kubernetes.io/service-account-token"
AKIA is the prefix of AWS keys
Authorization: required
Basic authentication is required
bearer of bad news
sk-learn-style-classes-are-fine
test_password_reset_token_expires_after_24h PASSED
tests/test_token.py::test_refresh_token PASSED
pattern = r"-----BEGIN PRIVATE KEY-----"
"version": "1.2.3-beta.4"
overnight-landing and overnight/t1
""".strip().splitlines()

#: Text, and the part of it that must go.
SECRET = [
    ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("git: ghp_16C7e42F292c6912E7710c838347Ae178B4a.", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("sk-ant-api03-abcdefghijklmnopqrstuvwx-AA", "abcdefghijkl"),
    ("xoxb-123456789012-abcdefghij", "abcdefghij"),
    ("https://user:s3cr3tpw@host/x", "s3cr3tpw"),
    ("https://ghx0123456789abcdef0123@github.com/a/b", "ghx0123456789"),
    ("https://x.test/?access_token=AbC123xyz789&b=1", "AbC123xyz789"),
    ("DB_PASSWORD=hunter2", "hunter2"),
    ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKY", "K7MDENG"),
    ("api_key: 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ('{"token": "a1b2c3d4e5f6g7h8"}', "a1b2c3d4"),
    ('{\\"password\\": \\"S3cur3!pass\\"}', "S3cur3"),
    ("Authorization: Bearer abc123def456ghi789", "abc123"),
    ("curl -H 'x-api-key: 98f7a6b5c4d3e2f1'", "98f7a6b5"),
    ("deploy --token 9f8e7d6c5b4a39281706", "9f8e7d6c"),
    ("password = 'c0rrect-h0rse'", "c0rrect"),
    ("key = 'Zx9kQ2mLp0VtR7sYb3NdWe5uHc1aJg8F'", "Zx9kQ2mLp0"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP", "eyJzdWIi"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabcdefghijklmnop\n-----END RSA PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA",
    ),
    ("-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\nBKcwggSj", "MIIEvQIBADANBgkq"),
    ("cut off: ghp_16C7e42F29…", "ghp_16C7e42F29"),
]


@pytest.mark.parametrize("text", BENIGN)
def test_what_is_no_secret_stays(text: str) -> None:
    """Hashes, ids, lock files, code and plain words come through as they are."""
    assert redacted(text) == text


@pytest.mark.parametrize(("text", "secret"), SECRET)
def test_what_looks_like_a_secret_goes(text: str, secret: str) -> None:
    """Vendors' keys, and what stands where secrets stand; once taken out, nothing more changes."""
    assert secret not in redacted(text)
    assert MARK in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


def test_a_known_secret_goes_in_every_form() -> None:
    """As it is, in a URL, in base64, in hex, and where only its beginning is left."""
    secret = "a b/c+plain=words-no-digits"
    redactor = Redactor((secret,))
    forms = [
        secret,
        "a%20b%2Fc%2Bplain%3Dwords-no-digits",
        base64.b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    ]
    for form in forms:
        assert redactor(f"<{form}>").startswith(f"<{MARK}"), form
    assert redactor(f"it was {secret[:20]}") == f"it was {MARK}"
    assert redactor("a b/c is short") == "a b/c is short"


def test_short_values_are_words() -> None:
    """A value of a few characters is not looked for: it is in too many words."""
    assert Redactor(("yes",))("yesterday") == "yesterday"


def test_ones_own_patterns() -> None:
    """A pattern from the settings is taken out too."""
    assert Redactor(patterns=(r"ACME-\d{4}",))("ACME-1234 and ACME-x") == f"{MARK} and ACME-x"


def test_the_environments_secrets() -> None:
    """Names that end as secrets' names do, and no paths."""
    environ = {"ANTHROPIC_API_KEY": "v1", "GH_TOKEN": "v2", "SSH_AUTH_KEY": "/run/x", "PATH": "/bin", "MAX_TOKENS": "9"}
    assert known_secrets(environ) == ("v1", "v2")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\r\nb\rc\td", "a\nb\nc\td"),
        ("half \ud800", "half \ufffd"),
        ("ghp_\x1b[0m16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("über naïve 日本", "über naïve 日本"),
    ],
)
def test_texts_are_made_harmless(text: str, clean: str) -> None:
    """Nothing in them moves a cursor, hides or reorders; letters of all languages stay."""
    assert sanitised(text) == clean
    assert sanitised(clean) == clean


@pytest.mark.parametrize(
    "piece", ["a", "a.", "token=", "https://", "-----BEGIN PRIVATE KEY-----", 'password: "', "eyJ", "\x1b]", "a: "]
)
def test_long_texts_of_odd_pieces_end(piece: str) -> None:
    """No text makes the patterns run away: each of these takes a fraction of a second, or would take minutes."""
    long = piece * (200_000 // len(piece))
    assert isinstance(redacted(sanitised(long)), str)
    assert isinstance(redacted("-----BEGIN PRIVATE KEY-----" + long), str)
