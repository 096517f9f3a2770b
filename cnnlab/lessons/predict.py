"""A question before the reveal: the learner commits to an answer, then sees what it shows."""

from dataclasses import dataclass, field

from ..panel import Button, Choice, Group, Panel, View
from ..show.page import tag
from .base import Lesson


@dataclass(frozen=True)
class Option:
    """One answer to choose, and what to say to it once the learner has committed."""

    label: str
    reply: str
    right: bool = False


@dataclass
class Prediction(Lesson):
    """A question about a worked line, with its options. Before the commitment nothing is given away."""

    question: str
    about: str
    options: tuple[Option, ...]
    title: str = "Predict"
    reset_label: str = "Ask me again"
    start: dict = field(default_factory=lambda: {"committed": False})

    @property
    def controls(self):
        choices = (("none", "I have not decided yet"), *((str(at), option.label) for at, option in enumerate(self.options)))
        return (Group(self.question, Choice("answer", "Your prediction", choices, "none"), Button("commit", "This is my answer")),)

    def change(self, state, name, value):
        return {**state, name: value, "committed": False}

    def press(self, state, name):
        if state["answer"] == "none":
            raise ValueError("Choose an answer first; a guess is welcome.")
        return {**state, "committed": True}

    def view(self, state):
        words = self.reply(state) if state["committed"] else "Choose, then press “This is my answer”."
        return View(tag("div", tag("p", words, class_="feedback"), class_="cn quiz"), f"{self.about}. {self.question} {words}")

    def reply(self, state) -> str:
        option = self.options[int(state["answer"])]
        return f"{'✓ Yes.' if option.right else '✗ Not this time.'} {option.reply}"


def predict(question: str, about, *options: Option) -> Panel:
    """The panel that asks a question; `about` is the worked line that the question starts from."""
    return Panel(Prediction(question, str(about), options))
