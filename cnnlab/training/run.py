"""The run itself: step after step, what follows from a step, and looking back where it went wrong."""

from contextlib import suppress
from dataclasses import fields, replace
from functools import cached_property
from math import ceil, isfinite
from threading import RLock
from time import monotonic

import numpy as np

from ..diagnosis import Diagnosis, diagnose
from ..gradients import backward, needed
from ..gradients import path as depending_on
from ..ledger import Ledger, LineError, Recipe, as_given, check_given, record, refusal, replay
from ..machine import keep_freed_memory, one_thread
from ..ops import batches
from ..optimizers import OPTIMIZERS, USUAL, started
from .digits import faults
from .files import arrays_of, read, restore, write
from .kept import Best, Epoch, Recorder
from .lines import with_dropout, with_penalty
from .progress import bar, interrupted
from .settings import SCHEDULES, Settings, number

EXPLODED = 10     # times the loss at first: then a run has gone astray, and stops
JUDGED = 32       # pictures whose mean loss is compared: a batch of one may be ten times as hard as another
REMEMBERED = 20   # every so many steps the state is kept, the latest two: from there a step is worked out again
AT_ONCE = 250     # pictures that are evaluated together


class Training:
    """One run: where it is, what it has learned, and the ledger of its last step.

    `step`: how many were made. `losses`, `hits`, `rates`: of every step, the batch's loss, its share of right
    answers, and the learning rate.
    `epochs`: an `Epoch` each. `stopped`: why it ended before its last epoch, or ""; where it was `paused`, by hand
    or because its time was over, `go_on` takes it up again. `diagnosis`: of a run that went astray. `recorder`:
    what was kept of every step.

    What it holds: three states (parameters and what the optimizer carries) and the best parameters, the last step's
    ledger, what the recorder holds, and three numbers a step. An interrupt may come anywhere: `step` says how far
    the run is, and whatever else is half written then is made good before it goes on or is saved.
    """

    def __init__(self, network, digits, settings=None, recorder=None):
        if not isinstance(settings, Settings | None):
            raise ValueError(f"settings {settings!r:.80}: give Settings(...)")
        self.network, self.digits, self.settings = network, digits, settings or Settings()
        self.recorder = recorder or Recorder()
        self.check_names()
        self.step, self.losses, self.hits, self.rates, self.epochs = 0, [], [], [], []
        self.stopped, self.paused, self.culprit, self.found = "", False, None, None
        self.best: Best | None = None
        self.remembered = ()
        self.last, self.in_order = None, (None, None)
        self.hands = RLock()  # a cell may save or look while a panel's thread is in the middle of a step
        self.state = self.first_state()
        self.check_digits()
        self.recorder.taken = True
        keep_freed_memory()

    # What is trained, and on what

    def check_names(self):
        """Raises ValueError where settings or recorder name a line that is not there."""
        on_the_way = needed(self.network.forward, "logits")
        known = [name for name in on_the_way.names if name in depending_on(on_the_way, ["image"]) and name != "logits"]
        for line, _ in self.settings.dropout:
            if line not in known:
                raise ValueError(f"dropout: between image and logits the network has no line {line!r}; "
                                 f"it has {', '.join(known)}")
        if self.settings.l2 and not self.network.weights:
            raise ValueError(f"l2 {self.settings.l2}: {self.network.title} has no weights")
        for name in (*self.recorder.lines, *self.recorder.norms):
            if name not in self.recipe.names and name not in self.recipe.given:
                raise ValueError(f"recorder: a step has no value {name!r}")
        if self.recorder.taken or self.recorder.entries:
            raise ValueError("recorder: another run has it; give a new one")

    def check_digits(self):
        """Raises ValueError where the pictures or labels are not what the network reads."""
        classes = self.line_shapes["logits"][0]
        for part in ("train", "test"):
            names = f"{part}_images", f"{part}_labels"
            for problem in faults(names, *(getattr(self.digits, name, None) for name in names), self.network, classes):
                raise ValueError(f"digits: {problem}")
        if self.settings.shift >= min(self.network.picture[1:]):
            raise ValueError(f"shift {self.settings.shift}: it would move pictures {self.network.picture} out of sight")
        if not len(self.examples[0]):
            raise ValueError(f"validation {self.settings.validation}: of {len(self.digits.train_labels)} pictures "
                             "none is left to train on")

    @cached_property
    def forward(self) -> Recipe:
        """The network with the lines that are there in training only: dropout and the penalty on weights."""
        recipe = self.network.forward
        for line, _ in self.settings.dropout:
            recipe = with_dropout(recipe, line)
        return with_penalty(recipe, self.network.weights) if self.settings.l2 else recipe

    @property
    def loss(self) -> str:
        """The line that is trained."""
        return "total" if self.settings.l2 else "loss"

    @cached_property
    def recipe(self) -> Recipe:
        """One whole step: forward, every gradient, every update."""
        parameters = self.network.parameters
        return OPTIMIZERS[self.settings.optimizer](backward(self.forward, self.loss, to=parameters), *parameters)

    def first_state(self) -> dict:
        """The parameters, what is fixed, and what the optimizer carries, before the first step."""
        settings = self.settings
        rates = {f"keep_{line}": 1 - share for line, share in settings.dropout}
        penalty = {"l2": settings.l2} if settings.l2 else {}
        wanted = started(self.recipe, self.network.start(settings.seed, settings.start) | rates | penalty)
        made = {name: as_given(name, value if name in USUAL or np.ndim(value) == 0 else np.asarray(value, np.float32))
                for name, value in wanted.items()}
        check_given(self.recipe, made | {name: None for name in ("image", "label", "learning_rate", *self.masks)})
        return made

    @cached_property
    def masks(self) -> dict:
        """For every dropout's mask: (the line whose shape it has, the share that stays)."""
        return {f"kept_{line}": (line, 1 - share) for line, share in self.settings.dropout}

    @cached_property
    def line_shapes(self) -> dict:
        """The shape of every line on the way to the logits, without its first axis."""
        one = np.zeros((1, *self.network.picture), np.float32)
        values = replay(needed(self.network.forward, "logits"), self.state | {"image": one})
        return {name: np.shape(value)[1:] for name, value in values.items()}

    @cached_property
    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Which training pictures are trained on, and which only validate."""
        count = len(self.digits.train_labels)
        held_out = ceil(self.settings.validation * count) if self.settings.patience else 0
        order = np.random.default_rng([self.settings.seed, 1]).permutation(count) if held_out else np.arange(count)
        return np.sort(order[held_out:]), np.sort(order[:held_out])

    @property
    def steps_in_epoch(self) -> int:
        return -(-len(self.examples[0]) // self.settings.batch)

    @property
    def steps(self) -> int:
        """How many steps the run has in all."""
        return self.settings.epochs * self.steps_in_epoch

    @property
    def epoch_is_due(self) -> bool:
        """Whether the last step ended an epoch that is not closed yet."""
        return len(self.epochs) < self.step // self.steps_in_epoch

    @property
    def finished(self) -> bool:
        return bool(self.stopped) or self.step >= self.steps and not self.epoch_is_due

    @property
    def parameters(self) -> dict:
        """What was learned: the latest parameters; with patience, once the run is over, the best."""
        over = self.finished and not self.paused
        source = self.best.parameters if self.best and over else self.state
        return {name: source[name] for name in self.network.parameters}

    # One step

    def order(self, epoch) -> np.ndarray:
        """The training pictures in the order of one epoch."""
        if self.in_order[0] != epoch:
            examples = self.examples[0]
            drawn = np.random.default_rng([self.settings.seed, 2, epoch]).permutation(len(examples))
            self.in_order = epoch, examples[drawn]
        return self.in_order[1]

    def batch(self, step) -> dict:
        """What step number `step` is given besides the state: pictures, labels, learning rate, masks."""
        epoch, within = divmod(step, self.steps_in_epoch)
        chosen = self.order(epoch)[within * self.settings.batch:][:self.settings.batch]
        images = self.shifted(step, self.digits.train_images[chosen].astype(np.float32, copy=False))
        memory = batches.memory_of(images)
        memory.setflags(write=False)
        given = {"image": batches.readers(memory), "label": self.digits.train_labels[chosen].astype(float),
                 "learning_rate": np.array(self.rate(step))}
        given |= self.drawn_masks(step, len(chosen))
        for value in given.values():
            value.setflags(write=False)
        return given

    def rate(self, step) -> float:
        """The learning rate of a step: of one that was made, as it was then, also if the run was made longer since."""
        if step < min(self.step, len(self.rates)):
            return self.rates[step]
        return float(self.settings.learning_rate * SCHEDULES[self.settings.schedule](step / self.steps))

    def shifted(self, step, images) -> np.ndarray:
        """The pictures, each moved by up to `shift` cells each way; zeros come in where it moved away."""
        most = self.settings.shift
        if not most:
            return images
        rng = np.random.default_rng([self.settings.seed, 4, step])
        down, right = rng.integers(0, 2 * most, (2, len(images), 1), endpoint=True)
        rows, columns = (by + np.arange(side) for by, side in zip((down, right), images.shape[2:]))
        padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)))
        moved = padded[np.arange(len(images))[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return moved.transpose(0, 3, 1, 2)  # the channels, which were not asked for, come last

    def drawn_masks(self, step, count) -> dict:
        rng = np.random.default_rng([self.settings.seed, 3, step]) if self.masks else None
        return {name: (rng.random((count, *self.line_shapes[line])) < keep).astype(np.float32)
                for name, (line, keep) in self.masks.items()}

    def take_step(self) -> Ledger:
        """The next step, recorded. Until all of it is worked out, the run is where it was."""
        with self.hands:
            self.settle()
            return self.step_from_here()

    def step_from_here(self) -> Ledger:
        """The step itself, from a settled run."""
        given, self.last = self.batch(self.step), None  # two ledgers at once would not fit the cache: 8 % slower
        with one_thread():
            ledger = record(self.recipe, self.state | given)
        loss = float(ledger[self.loss])
        if not isfinite(loss):  # NumPy hears of an overflow in a product only on some machines
            raise refusal(self.recipe.names[self.loss], FloatingPointError(f"it is {loss}"), ledger)
        hits = float((ledger["logits"].argmax(axis=1) == given["label"]).mean())
        after = self.state | self.recipe.updated(ledger.values_by_name)
        if self.step % REMEMBERED == 0:
            self.remembered = (*self.remembered[-1:], (self.step, self.state))
        self.recorder.see(self.step, ledger)
        self.losses.append(loss)
        self.hits.append(hits)
        self.rates.append(given["learning_rate"].item())
        self.last, self.state, self.step = ledger, after, self.step + 1  # no call, so no interrupt, comes between
        return ledger

    def settle(self):
        """Take back what a step that was broken off has left written: `step` says which steps were made."""
        del self.losses[self.step:], self.hits[self.step:], self.rates[self.step:]
        self.recorder.forget(self.step)
        self.remembered = tuple(each for each in self.remembered if each[0] < self.step)

    @property
    def ledger(self) -> Ledger | None:
        """The last step, every number of it; None before the first. After `load` it is worked out again."""
        with self.hands:
            if self.last is None and self.step:
                *_, (step, state) = self.again(self.step)
                with one_thread():
                    self.last = record(self.recipe, state | self.batch(step))
            return self.last

    def advance(self) -> bool:
        """One step, and what follows from it: the end of an epoch, an early stop, a run astray. False at the end."""
        with self.hands:
            if not self.finished and not self.follow():  # only after an interrupt is something left to follow
                try:
                    self.take_step()
                except LineError as problem:
                    self.astray(f"step {self.step}: {problem}", self.step + 1)
                else:
                    self.follow()
            return not self.finished

    def follow(self) -> bool:
        """What follows from the steps that were made; whether anything did."""
        if problem := self.exploded():
            self.astray(problem, self.step)
        elif self.epoch_is_due:
            self.close_epoch()
        elif self.is_out_of_patience:
            self.stop_early()
        else:
            return False
        return True

    def exploded(self) -> str:
        """In which words the loss is too high, if it is."""
        count = ceil(JUDGED / self.settings.batch)
        if self.step < count:
            return ""
        first, now = (sum(self.losses[start:start + count]) / count for start in (0, self.step - count))
        if now <= EXPLODED * max(first, 1e-6):
            return ""
        of = "the loss of its batch" if count == 1 else f"the mean loss of {count} batches"
        return f"step {self.step - 1}: {of} is {now:.6g}, more than {EXPLODED} times the first, {first:.6g}"

    def close_epoch(self):
        """Note what the epoch came to; stop where patience is over."""
        count, made = self.steps_in_epoch, len(self.epochs)
        steps = slice(made * count, (made + 1) * count)
        tested = self.measured(self.state, self.digits.test_images, self.digits.test_labels)
        if not isfinite(tested[0]):
            return self.astray(f"step {self.step - 1}: after it the loss of the test part is {tested[0]}", self.step)
        validated = self.validated() if self.settings.patience else None
        if validated is not None and (self.best is None or validated < self.best.loss):
            self.best = Best(made, validated, {name: self.state[name] for name in self.network.parameters})
        sizes = [self.settings.batch] * (count - 1) + [len(self.examples[0]) - self.settings.batch * (count - 1)]
        means = (float(np.average(each[steps], weights=sizes)) for each in (self.losses, self.hits))
        self.epochs.append(Epoch(*means, tested[1], validated))
        if self.is_out_of_patience:
            self.stop_early()

    @property
    def is_out_of_patience(self) -> bool:
        return self.best is not None and len(self.epochs) - 1 - self.best.epoch >= self.settings.patience

    def stop_early(self):
        self.stopped = (f"no lower validation loss for {self.settings.patience} epochs: "
                        f"the parameters after epoch {self.best.epoch + 1} stay")

    def validated(self) -> float:
        """The loss on the pictures that are not trained on."""
        held_out = self.examples[1]
        return self.measured(self.state, self.digits.train_images[held_out], self.digits.train_labels[held_out])[0]

    def evaluate(self, images, labels) -> tuple[float, float]:
        """(mean cross-entropy, share of right answers) of what was learned, without dropout or penalty."""
        labels, classes = np.asarray(labels), self.line_shapes["logits"][0]
        if not labels.size:
            raise ValueError(f"evaluate: no labels for pictures {np.shape(images)}")
        for problem in faults(("images", "labels"), images, labels, self.network, classes):
            raise ValueError(f"evaluate: {problem}")
        return self.measured(self.parameters, images, labels)

    def measured(self, parameters, images, labels) -> tuple[float, float]:
        """The same of any parameters."""
        loss, right = 0.0, 0
        for start in range(0, len(labels), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            given = {"image": np.asarray(images[part], np.float32), "label": np.asarray(labels[part], float)}
            with np.errstate(all="ignore"), one_thread():
                values = replay(self.network.forward, self.state | parameters | given)
            loss += float(values["loss"]) * len(labels[part])
            right += int((values["logits"].argmax(axis=1) == labels[part]).sum())
        return loss / len(labels), right / len(labels)

    # Looking back

    def again(self, end):
        """(number, state before it) of the steps that can be worked out again, up to the one before `end`."""
        step, state = next((each for each in self.remembered if each[0] < end), (self.step, self.state))
        while True:
            yield step, state
            step += 1
            if step >= end:
                return
            with np.errstate(all="ignore"), one_thread():
                values = replay(self.recipe, state | self.batch(step - 1))
            state = state | self.recipe.updated(values)

    def astray(self, what, end):
        """Stop, go back to the parameters before the step (one before `end`) that did it, and say why it did."""
        step, state = self.first_bad_step(end)
        try:
            found = self.diagnosed(step, state)
            why = found.verdict
        except LineError as problem:
            found, why = None, f"not even in double precision can it be worked out: {problem}."
        self.state, self.culprit, self.found, self.stopped = state, step, found, f"{what}. Step {step}: {why}"

    def first_bad_step(self, end) -> tuple[int, dict]:
        """(number, state before it) of the first remembered step that more than doubled the loss of its own batch.

        Where none did, it is the one that came nearest to it.
        """
        worst, nearest = -np.inf, None
        for step, state in self.again(end):
            before, after = self.around(step, state)
            times = after / before if before else np.inf
            if not times <= 2:
                return step, state
            if times > worst:
                worst, nearest = times, (step, state)
        return nearest

    def around(self, step, state) -> tuple[float, float]:
        """The loss of a step's own batch before and after it."""
        given = self.batch(step)
        with np.errstate(all="ignore"), one_thread():
            values = replay(self.recipe, state | given)
            after = self.recipe.updated(values)
            return float(values[self.loss]), float(replay(self.forward, state | given | after)[self.loss])

    def diagnosed(self, step, state) -> Diagnosis:
        """Why a step raised the loss, in double precision: what overflowed has a value there."""
        given = {name: np.asarray(value, float) for name, value in (state | self.batch(step)).items()}
        with np.errstate(all="ignore"), one_thread():
            return diagnose(self.forward, given, self.network.parameters, loss=self.loss,
                            optimizer=self.settings.optimizer)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Of a run that went astray: why the step that did it raised the loss. After `load` it is worked out again."""
        if self.culprit is not None and self.found is None:
            with suppress(LineError):
                self.found = self.diagnosed(self.culprit, self.state)
        return self.found

    # Going on, and keeping

    def go_on(self, epochs=None, seconds=None, progress=False, watch=None) -> "Training":
        """Train to the last epoch, or for so many seconds. An interrupt (■, Ctrl-C) ends it after the step in hand.

        A second interrupt breaks that step off, which is then made when the run goes on. `epochs` changes how many
        there are in all. `watch(training)` is called after every step.
        """
        if seconds is not None and not (number(seconds) and seconds >= 0):
            raise ValueError(f"seconds {seconds!r}: give a number, 0 or more")
        if epochs is not None:
            longer, begun = replace(self.settings, epochs=epochs), ceil(self.step / self.steps_in_epoch)
            if longer.epochs < begun:
                raise ValueError(f"epochs {epochs}: {begun} were begun")
            self.settings = longer
        if self.paused:
            self.stopped, self.paused = "", False
        ends = monotonic() + seconds if seconds is not None else None
        try:
            with interrupted() as asked, one_thread(), bar(self, progress) as show:
                while not self.finished:
                    self.advance()
                    show()
                    if watch:
                        watch(self)
                    if asked:
                        self.pause("stopped by hand")
                    elif ends is not None and monotonic() >= ends:
                        self.pause(f"its {float(seconds):g} seconds were over")
        except KeyboardInterrupt:
            self.settle()
            self.pause("stopped by hand")
        return self

    def pause(self, why):
        """Let the run rest until `go_on`, unless it is over anyway."""
        if not self.finished:
            self.stopped, self.paused = f"{why} after {self.step} of {self.steps} steps", True

    def save(self, path):
        """Everything that the run needs to go on, as one .npz without pickles.

        An older file in its place stays whole until the new one is.
        """
        with self.hands:
            self.settle()
            arrays = arrays_of(self)
        write(path, arrays)

    @classmethod
    def load(cls, path, network, digits) -> "Training":
        """The run that was saved. Raises ValueError where the file is damaged, or of another network or other data."""
        arrays, facts = read(path)
        try:
            if facts["network"] != network.title:
                raise ValueError(f"it holds a run of {facts['network']!r}, not of {network.title!r}")
            lines, norms, every, most = facts["recorder"]
            recorder = Recorder(tuple(lines), tuple(norms), every, most)
            made = cls(network, digits, Settings(**facts["settings"]), recorder)
            restore(made, arrays, facts)
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from problem
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as problem:
            raise ValueError(f"{path} is damaged: {problem!r}") from problem
        return made

    def export(self, path):
        """The learned parameters alone, each under its name, as .npz for any program that reads NumPy's files."""
        write(path, self.parameters)

    def __repr__(self):
        settings, lines = self.settings, [self.stopped] if self.stopped else []
        if self.epochs:
            last = self.epochs[-1]
            lines.insert(0, f"after epoch {len(self.epochs)}: loss {last.loss:.4f}, right in training "
                            f"{last.accuracy:.1%}, in the test {last.test_accuracy:.1%}")
        at = f"step {self.step} of {self.steps}, {settings.optimizer}, seed {settings.seed}"
        return "\n".join([f"{self.network.title}: {at}", *lines])


def train(network, digits, *, recorder=None, progress=True, watch=None, seconds=None, **settings) -> Training:
    """A whole run; `settings` are those of `Settings`. Interrupting it (■, Ctrl-C) keeps what was learned."""
    known = [each.name for each in fields(Settings)]
    if unknown := sorted(set(settings) - set(known)):
        raise ValueError(f"train: there is no setting {', '.join(unknown)}; there are {', '.join(known)}")
    training = Training(network, digits, Settings(**settings), recorder)
    return training.go_on(progress=progress, watch=watch, seconds=seconds)
