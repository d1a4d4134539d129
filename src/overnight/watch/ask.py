"""What is asked before anything changes: exactly what would happen, to which task and commit."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from msgspec import Struct
from rich.text import Text
from textual import events, getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Input, Static, TextArea

from overnight.watch.host import Host
from overnight.watch.page import Sheaf


class Plan(Struct, frozen=True, kw_only=True):
    """What would be done."""

    #: In a few words, such as `Approve: this commit lands`.
    title: str
    #: Everything that it is about.
    text: Sheaf
    #: On the button that does it.
    yes: str
    #: What can't be taken back, or is meant against a warning: a capital `Y` does it, a small one does not.
    grave: bool = False


#: Lines and columns below which everything is drawn closer together.
_LOW, _NARROW = 22, 64


def fitted(screen: Screen[Any]) -> None:
    """What a dialog is about takes the room that its title and its buttons leave."""
    size = screen.size
    screen.set_class(size.height < _LOW, "low")
    screen.set_class(size.width < _NARROW, "narrow")
    others = sum(each.outer_size.height for each in screen.query("#title, #label, #words, #buttons"))
    with suppress(NoMatches):  # it was answered before it was drawn
        screen.query_one("#what").styles.max_height = max(2, size.height - others - 5)


class Confirm(ModalScreen[bool]):
    """Yes or no. The safe answer is under the cursor, and nothing but the key that is named does it."""

    app = getters.app(Host)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes(False)", "Yes", show=False),
        Binding("Y", "yes(True)", "Yes", show=False),
        Binding("n,escape,q", "no", "No", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("left,right,tab", "app.focus_next", show=False),
    ]

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def compose(self) -> ComposeResult:
        plan, key = self._plan, "Y" if self._plan.grave else "y"
        with Vertical(id="dialog", classes="grave" if plan.grave else ""):
            yield Static(Text(plan.title), id="title")
            with VerticalScroll(id="what", can_focus=False):
                yield Static(plan.text)
            with Horizontal(id="buttons"):
                yield Button(Text("n  No, leave it"), id="no")
                yield Button(Text(f"{key}  {plan.yes}"), id="yes", variant="error" if plan.grave else "primary")

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_yes(self, grave: bool) -> None:
        if grave or not self._plan.grave:
            self.dismiss(True)
        else:
            self.app.bell()

    def on_resize(self) -> None:
        self.call_after_refresh(fitted, self)

    def action_no(self) -> None:
        self.dismiss(False)

    def action_scroll(self, by: int) -> None:
        self.query_one("#what").scroll_relative(y=by, animate=False)


class Words(TextArea):
    """Where somebody writes: enter sends, ctrl+j begins a new line, and a pasted text comes whole."""

    class Sent(Message):
        """It is to be sent."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Sent())
            return
        if event.key == "ctrl+j":
            event.stop()
            event.prevent_default()
            self.insert("\n")
            return
        await super()._on_key(event)


class Write(ModalScreen[str | None]):
    """Words of a person: an answer, or why not. None when nothing is to be done."""

    app = getters.app(Host)
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No", show=False, priority=True)]

    def __init__(self, plan: Plan, label: str, *, needed: bool) -> None:
        """needed: nothing is sent without words."""
        super().__init__()
        self._plan, self._label, self._needed = plan, label, needed

    def compose(self) -> ComposeResult:
        plan = self._plan
        with Vertical(id="dialog", classes="grave" if plan.grave else ""):
            yield Static(Text(plan.title), id="title")
            with VerticalScroll(id="what", can_focus=False):
                yield Static(plan.text)
            yield Static(Text(self._label), id="label")
            yield Words(id="words", soft_wrap=True, tab_behavior="focus")
            with Horizontal(id="buttons"):
                yield Button(Text("esc  No, leave it"), id="no")
                yield Button(Text(f"enter  {plan.yes}"), id="yes", variant="error" if plan.grave else "primary")

    def on_mount(self) -> None:
        self.query_one(Words).focus()

    def on_words_sent(self) -> None:
        self._send()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self._send()
        else:
            self.dismiss(None)

    def _send(self) -> None:
        text = self.query_one(Words).text.strip()
        if text or not self._needed:
            self.dismiss(text)
        else:
            self.app.bell()

    def on_resize(self) -> None:
        self.call_after_refresh(fitted, self)

    def action_no(self) -> None:
        self.dismiss(None)


class Search(Input):
    """What title or id must hold. Escape takes it back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("down", "down", show=False),
    ]

    class Left(Message):
        """Back to the list. clear: without the words."""

        def __init__(self, *, clear: bool) -> None:
            self.clear = clear
            super().__init__()

    def action_leave(self) -> None:
        self.post_message(self.Left(clear=True))

    def action_down(self) -> None:
        self.post_message(self.Left(clear=False))


#: Section -> (keys, what they do).
KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "Look": (
        ("j k ↑ ↓", "next and previous task; g and G: first and last"),
        ("enter", "open the task: story, live, change, evidence, cost"),
        ("1 2", "what needs you and what goes on; all tasks"),
        ("/", "search in all tasks by title or id"),
        ("f", "in all tasks: which state, which repo is shown (f and F)"),
        ("← →  1 … 5", "in a task: its tabs; esc goes back"),
        ("l", "light or dark"),
    ),
    "Decide": (
        ("a", "approve the commit that waits"),
        ("x", "reject it, with your reason"),
        ("w", "answer what the task asks"),
    ),
    "Steer": (
        ("p", "pause the task, or take its pause back; P: everything"),
        ("r", "try a held task again now; begin an ended one anew"),
        ("s", "stop the task: ends its run, keeps its work; S: everything"),
        ("c", "cancel the task for good; its work is kept on a ref"),
    ),
    "": (("?", "these keys"), ("q", "leave; everything goes on without you")),
}


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "leave", show=False),
                                             Binding("down,j", "scroll(1)", show=False), Binding("up,k", "scroll(-1)", show=False)]  # fmt: skip

    def compose(self) -> ComposeResult:
        text = Text()
        for section, keys in KEYS.items():
            text.append(f"\n{section}\n" if section else "\n", "bold")
            for key, words in keys:
                text.append(f"  {key:<12}", "bold")
                text.append(f"{words}\n")
        text.append("\nEverything that changes something asks first, and says what it is about.")
        with Vertical(id="dialog"):
            yield Static(Text("Keys"), id="title")
            with VerticalScroll(id="what", can_focus=False):
                yield Static(text)

    def action_leave(self) -> None:
        self.dismiss()

    def action_scroll(self, by: int) -> None:
        self.query_one("#what").scroll_relative(y=by, animate=False)
