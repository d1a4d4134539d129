"""Claude Code that is asked one question: no tools, no hooks, no settings, no memory, one turn."""

from __future__ import annotations

from collections.abc import Mapping

from overnight.agents import loose
from overnight.agents.claude import LOGIN_VARIABLE, SWITCHES, ClaudeAgent
from overnight.agents.claude_binary import find, unavailable
from overnight.agents.claude_outcome import Facts, Verdict, gather, usage_of, verdict_of
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.surroundings import extended, surroundings
from overnight.missions.run import End, FailureClass
from overnight.ports import Launch, Place, Spoken

_FLAGS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
    *("--permission-mode", "dontAsk", "--permission-prompts", "none"),
    *("--tools", "", "--max-turns", "1"),
)
# Measured: without them the CLI takes `@PATH` in a question for a mention, reads that file and sends it along.
_NO_MENTIONS = {"CLAUDE_CODE_DISABLE_ATTACHMENTS": "1", "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1"}
#: Whoever asks counts the tries.
_NO_RETRIES = {"CLAUDE_CODE_MAX_RETRIES": "0"}
#: What another try can't mend.
_LASTING = (FailureClass.AUTH, FailureClass.MONEY, FailureClass.LAUNCH)


class ClaudeSpeaker:
    """Port `Speaker`. settings: those of the agent `claude`, which say where the CLI is and who pays."""

    def __init__(self, settings: ClaudeSettings, model: str, environ: Mapping[str, str]) -> None:
        """model: empty leaves the choice to the CLI. environ: tells which login there is."""
        self._settings, self._model, self._environ = settings, model, environ

    def launch(self, rules: str, question: str, output: int, place: Place) -> Launch:
        """See the port. Raises AgentUnavailable for the route `local` too: nobody can say who made its model."""
        binary, route = find(self._settings.path, self._environ), ClaudeAgent(self._settings, self._environ).route()
        if route.kind == "local":
            own = "Name the server itself as a judge, of the kind `local`."
            raise unavailable("its route is `local`, and nobody can say who made that model", own)
        model = (f"--model={self._model}",) if self._model else ()
        return Launch(
            argv=(binary.path, *_FLAGS, "--system-prompt", rules, *model),
            env=self._env(place, output, gateway=route.proxied),
            passed=() if route.proxied else (LOGIN_VARIABLE,),
            readable=(binary.path,),
            stdin=question.encode(),
            route=route,
            version=binary.version,
            hooked=False,
        )

    def heard(self, code: int, stdout: bytes, stderr: bytes) -> Spoken:
        """See the port. An answer that was cut, refused or is none of the model's counts for nothing."""
        facts = gather(code, stdout, stderr)
        found, usage = verdict_of(facts), usage_of(facts.results, resumed=False)
        stop = loose.text(facts.result, "stop_reason")
        if found.end in (End.COMPLETED, End.BLOCKED):
            if stop == "end_turn":
                return Spoken(text=loose.text(facts.result, "result"), usage=usage)
            return Spoken(why=f"its answer did not come to its end: {stop}", again=True, usage=usage)
        until = loose.number(facts.window, "resetsAt") if found.failure is FailureClass.LIMIT else None
        again = _may_do_better(facts, found, stop)
        return Spoken(why=found.why, again=again, trouble=found.trouble, until=until, usage=usage)

    def _env(self, place: Place, output: int, *, gateway: bool) -> dict[str, str]:
        settings = self._settings
        own = {
            **surroundings(place),
            **SWITCHES,
            **_NO_MENTIONS,
            **_NO_RETRIES,
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(output),
            "API_TIMEOUT_MS": str(round(settings.answer_limit * 1000)),
            "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": str(round(settings.stall_limit * 1000)),
        }
        if gateway:  # nothing runs there that could read the dummy
            own |= {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{place.ports.model}", "ANTHROPIC_API_KEY": place.token}
        return extended(own, settings.env, "agents.claude.env", ("ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_"))


def _may_do_better(facts: Facts, found: Verdict, stop: str) -> bool:
    """One that died without a word is asked again; one that was refused is not."""
    return not facts.result or (found.failure not in _LASTING and stop != "refusal")
