"""What the gateway says when it answers itself: an error in the shape of the API that is spoken."""

from __future__ import annotations

from typing import Any

from overnight.usage.protocols import Protocol
from overnight.warden.http import Response


class Refused(Exception):
    """The request is answered here."""

    def __init__(self, status: int, anthropic: str, openai: str, gemini: str, why: str, *, others: int = 0) -> None:
        """anthropic, openai, gemini: what each calls it. others: the status for all but Anthropic, where it differs."""
        super().__init__(why)
        self.status, self.why = status, why
        self._kinds, self._others = {"anthropic": anthropic, "openai": openai, "gemini": gemini}, others or status

    def response(self, protocol: Protocol) -> Response:
        """The answer in the protocol's own shape."""
        kind, words = self._kinds[protocol.name], f"Overnight: {self.why}"
        status = self.status if protocol.name == "anthropic" else self._others
        body: dict[str, Any]
        match protocol.name:
            case "anthropic":
                body = {"type": "error", "error": {"type": kind, "message": words}}
            case "openai":
                body = {"error": {"message": words, "type": kind, "param": None, "code": kind}}
            case _:
                body = {"error": {"code": status, "message": words, "status": kind}}
        return Response.json(status, body)


def stranger(why: str) -> Refused:
    """Who asks has not the run's token."""
    return Refused(401, "authentication_error", "invalid_api_key", "UNAUTHENTICATED", why)


def forbidden(why: str) -> Refused:
    """This may not pass here."""
    return Refused(403, "permission_error", "permission_denied", "PERMISSION_DENIED", why)


def away(why: str) -> Refused:
    """The model API is not there: worth another try."""
    return Refused(502, "api_error", "server_error", "UNAVAILABLE", why)


def spent(why: str) -> Refused:
    """The allowance does not pay for it: no try will. Each CLI has a status after which it gives up at once."""
    return Refused(402, "billing_error", "insufficient_quota", "FAILED_PRECONDITION", why, others=400)
