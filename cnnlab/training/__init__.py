"""Many steps: batches, optimizers, schedules, and everything needed to stop, go on, save and look back.

    training = train(lenet_5, mnist(), **GOOD["lenet_5"])
    training.ledger.explain("loss")            # the last step, every number of it
    training.save("run.npz"); Training.load("run.npz", lenet_5, mnist()).go_on()

Each step is the recorded recipe of day one, run on a batch. Which pictures are in step number k, how they are
shifted and which cells are dropped follows from the seed and k alone: a run that was stopped and goes on is, bit
for bit, the run that was not. So nothing of a step has to be kept to see it again: it is worked out again.
"""

from .idle import silent, stuck
from .kept import Epoch, Recorder
from .lines import with_dropout, with_penalty
from .run import Training, train
from .settings import GOOD, SCHEDULES, Settings

__all__ = ["GOOD", "SCHEDULES", "Epoch", "Recorder", "Settings", "Training", "silent", "stuck", "train", "with_dropout",
           "with_penalty"]
