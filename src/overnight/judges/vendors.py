"""The vendors' APIs, through their own clients. Only a judge's own process imports this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overnight.judge.evidence import INSTRUCTIONS
from overnight.judge.verdict import Outside
from overnight.judges.errand import Errand, Heard, Said, Trouble
from overnight.judges.form import form
from overnight.judges.settings import Kind

#: Worth another try: the vendor is busy, or stumbled.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_MOST_WHY = 300


def ask(errand: Errand, evidence: str, token: str) -> Said:
    """One question. No client tries again by itself: whoever started this process counts the tries."""
    match errand.kind:
        case Kind.ANTHROPIC:
            return _anthropic(errand, evidence, token)
        case Kind.OPENAI:
            return _responses(errand, evidence, token)
        case Kind.GEMINI:
            return _gemini(errand, evidence, token)
        case Kind.COMPATIBLE | Kind.LOCAL:
            return _chat(errand, evidence, token)
        case Kind.CLAUDE:
            return Trouble(why="Claude Code is a CLI: it is asked in a box, and over no client library")


def _anthropic(errand: Errand, evidence: str, token: str) -> Said:
    from anthropic import Anthropic, AnthropicError, APIStatusError, omit
    from anthropic.types import TextBlock

    client = Anthropic(api_key=token, base_url=errand.address, timeout=errand.limit, max_retries=0)
    try:
        message = client.messages.create(
            model=errand.model, max_tokens=errand.output, system=INSTRUCTIONS,
            messages=[{"role": "user", "content": evidence}],
            output_config={"format": {"type": "json_schema", "schema": form()}} if errand.structured else omit,
        )  # fmt: skip
    except APIStatusError as error:
        return _status(error.status_code, error.message, error.response.headers)
    except AnthropicError as error:
        return _stumbled(error)
    text = "".join(block.text for block in message.content if isinstance(block, TextBlock))
    return _ended(text, str(message.stop_reason), "end_turn")


def _responses(errand: Errand, evidence: str, token: str) -> Said:
    from openai import APIStatusError, OpenAI, OpenAIError, omit

    client = OpenAI(api_key=token, base_url=errand.address, timeout=errand.limit, max_retries=0)
    try:
        response = client.responses.create(
            model=errand.model, max_output_tokens=errand.output, instructions=INSTRUCTIONS, input=evidence, store=False,
            text={"format": {"type": "json_schema", "name": "verdict", "schema": form(), "strict": True}}
            if errand.structured else omit,
        )  # fmt: skip
    except APIStatusError as error:
        return _status(error.status_code, error.message, error.response.headers)
    except OpenAIError as error:
        return _stumbled(error)
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    if any(part.type == "refusal" for part in parts):
        return Trouble(why="the model refused to judge it")
    why = response.incomplete_details.reason if response.incomplete_details else None
    return _ended(response.output_text, why or str(response.status), "completed")


def _chat(errand: Errand, evidence: str, token: str) -> Said:
    from openai import APIStatusError, OpenAI, OpenAIError, omit

    client = OpenAI(api_key=token, base_url=errand.address, timeout=errand.limit, max_retries=0)
    try:
        completion = client.chat.completions.create(
            model=errand.model, max_tokens=errand.output,
            messages=[{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": evidence}],
            response_format={
                "type": "json_schema", "json_schema": {"name": "verdict", "schema": form(), "strict": True}
            } if errand.structured else omit,
        )  # fmt: skip
    except APIStatusError as error:
        return _status(error.status_code, error.message, error.response.headers)
    except OpenAIError as error:
        return _stumbled(error)
    if len(completion.choices) != 1:
        return Trouble(why=f"it gave {len(completion.choices)} answers instead of one", again=True)
    choice = completion.choices[0]
    if choice.message.refusal:
        return Trouble(why="the model refused to judge it")
    return _ended(choice.message.content or "", str(choice.finish_reason), "stop")


def _gemini(errand: Errand, evidence: str, token: str) -> Said:
    from google import genai
    from google.genai import errors, types

    options = types.HttpOptions(
        base_url=errand.address, timeout=round(errand.limit * 1000), retry_options=types.HttpRetryOptions(attempts=1)
    )
    held: dict[str, Any] = {"response_mime_type": "application/json", "response_json_schema": form()}
    config = types.GenerateContentConfig(
        system_instruction=INSTRUCTIONS, max_output_tokens=errand.output, http_options=options,
        **held if errand.structured else {},
    )  # fmt: skip
    try:
        with genai.Client(api_key=token, http_options=options) as client:
            # its own types name a library for images that is not installed
            response = client.models.generate_content(model=errand.model, contents=evidence, config=config)  # pyright: ignore[reportUnknownMemberType]
    except errors.APIError as error:
        return _status(error.code, str(error.message), {})
    if response.prompt_feedback is not None and response.prompt_feedback.block_reason is not None:
        return Trouble(why=f"the model refused to judge it: {response.prompt_feedback.block_reason.value}")
    candidates = response.candidates or []
    if len(candidates) != 1:
        return Trouble(why=f"it gave {len(candidates)} answers instead of one", again=True)
    parts = (candidates[0].content.parts if candidates[0].content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    reason = candidates[0].finish_reason
    return _ended(text, reason.value if reason is not None else "", "STOP")


def _ended(text: str, how: str, well: str) -> Said:
    """An answer counts only when it came to its own end: one that was cut may say less than the model meant."""
    if how in ("refusal", "content_filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"):
        return Trouble(why=f"the model refused to judge it: {how}")
    if how != well:
        return Trouble(why=f"its answer did not come to its end: {_short(how)}", again=True)
    return Heard(text=text)


def _status(code: int, message: str, headers: Mapping[str, str]) -> Trouble:
    asked = headers.get("retry-after", "")
    after = float(asked) if asked.isdecimal() else 2.0
    outside = Outside.LIMIT if code == 429 else Outside.VENDOR if code >= 500 else None
    return Trouble(why=f"HTTP {code}: {_short(message)}", again=code in _PASSING, after=after, outside=outside)


def _stumbled(error: Exception) -> Trouble:
    return Trouble(why=f"{type(error).__name__}: {_short(str(error))}", again=True)


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_WHY]
