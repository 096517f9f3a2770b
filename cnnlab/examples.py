"""The documents' two worked examples and our twin of the second: recipes here, numbers in data/documents.json."""

import json
from dataclasses import dataclass
from functools import cache, cached_property

from .gradients import backward, update
from .ledger import Ledger, Recipe, refuse_misspelt, run
from .ops import (AddBias, Correlate, CrossEntropy, Exponential, Flatten, FullyConnected, HalfSquaredError,
                  Products, ReLU, Softmax, SoftmaxCrossEntropy, Total)
from .places import data_file


@dataclass(frozen=True, eq=False)  # each example is itself alone, so that what is worked out for it can be cached
class Example:
    """A network with its numbers, where each number comes from, and what is trained."""

    title: str
    document: str
    forward: Recipe
    parameters: tuple[str, ...]
    given: dict
    status: dict

    @cached_property
    def recipe(self) -> Recipe:
        """One whole step: forward, every gradient, every update."""
        return update(backward(self.forward), *self.parameters)

    def run(self, **changed) -> Ledger:
        """The ledger of one step, with some of the given numbers changed."""
        refuse_misspelt(self.title, changed, self.recipe.given, self.recipe.names)
        return run(self.recipe, **self.given | changed)


@cache
def stored() -> dict:
    """What data/documents.json holds."""
    return json.loads(data_file("documents.json").read_text(encoding="utf-8"))


def example(name, forward, parameters) -> Example:
    facts = stored()["examples"][name]
    numbers = {each: fact["value"] for each, fact in facts["given"].items()}
    status = {each: fact["status"] for each, fact in facts["given"].items()}
    return Example(facts["title"], facts["document"], forward, parameters, numbers, status)


def one_convolution() -> Recipe:
    """D2, example 1: one 2×2 convolution, no activation, half squared error."""
    return Recipe(
        products=Products("image", "kernel"),
        conv_sum=Correlate("image", "kernel"),
        output=AddBias("conv_sum", "bias"),
        loss=HalfSquaredError("output", "target"),
    )


def small_classifier(in_one_go=True) -> Recipe:
    """D2, example 2: convolution, ReLU, fully connected, softmax, cross-entropy.

    The loss either in one go from the logits, whose gradient is the short p - y, or step by step
    through the softmax. The two agree.
    """
    loss = SoftmaxCrossEntropy("logits", "label") if in_one_go else CrossEntropy("p", "label")
    return Recipe(
        products=Products("image", "kernel"),
        conv_sum=Correlate("image", "kernel"),
        conv=AddBias("conv_sum", "kernel_bias"),
        relu=ReLU("conv"),
        flat=Flatten("relu"),
        fc_sum=FullyConnected("flat", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        exponentials=Exponential("logits"),
        total=Total("exponentials"),
        p=Softmax("logits"),
        loss=loss,
    )


LAYERS = ("kernel", "kernel_bias", "fc_weight", "fc_bias")
example_1 = example("example_1", one_convolution(), ("kernel", "bias"))
example_2 = example("example_2", small_classifier(), LAYERS)
example_2_step_by_step = example("example_2", small_classifier(in_one_go=False), LAYERS)
twin = example("twin", small_classifier(), LAYERS)
