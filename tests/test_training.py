"""Training: what a run reaches, the same bits every time, stopped without a loss, refused where damaged."""

import gc
import json
import os
import re
import signal
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from functools import cache
from io import BytesIO
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from cnnlab import AddBias, Dropout, LineError, Recipe, ReLU, WeightPenalty, run
from cnnlab.data import Digits, digits_8x8, mnist
from cnnlab.ledger import replay
from cnnlab.networks import lenet_5, lenet_5_1998, small_cnn, wide_cnn, without_activation, without_bias
from cnnlab.training import (GOOD, SCHEDULES, Recorder, Settings, Training, silent, stuck, train, with_dropout,
                             with_penalty)
from cnnlab.training.run import EXPLODED, REMEMBERED

DIGITS = digits_8x8(np.float32)
FEW = Digits(*(part[:90] for part in DIGITS[:2]), *(part[:40] for part in DIGITS[2:4]), "90 digits")
RICH = dict(epochs=5, batch=32, seed=3, dropout=(("flat", 0.3), ("s2", 0.1)), shift=1, l2=1e-3, schedule="cosine",
            patience=9)
OPTIMIZERS = {"gradient descent": 0.1, "momentum": 0.02, "Adam": 0.003}


def fresh(digits=FEW, network=small_cnn, recorder=None, **settings) -> Training:
    """A run that was not begun: three steps an epoch, the last one smaller, and all that can be switched on is."""
    return Training(network, digits, Settings(**RICH | settings), recorder)


def keeper(most=4) -> Recorder:
    """A recorder that soon has to thin out, with a line whose shape changes with the batch."""
    return Recorder(("loss", "c1_kernel", "logits"), ("d_c1_kernel", "image", "c3_kernel"), most=most)


def everything(training) -> dict:
    """All that two runs have to agree on, bit for bit."""
    kept = [(step, {name: (np.shape(value), np.asarray(value).tobytes()) for name, value in entry.items()})
            for step, entry in training.recorder.entries]
    return {"step": training.step, "losses": training.losses, "hits": training.hits, "rates": training.rates, "epochs": training.epochs,
            "stopped": training.stopped, "finished": training.finished, "kept": kept, "every": training.recorder.every,
            "remembered": [step for step, _ in training.remembered],
            "best": training.best and (training.best.epoch, training.best.loss, bits(training.best.parameters)),
            "state": bits(training.state), "parameters": bits(training.parameters)}


def bits(values) -> dict:
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def same(first, second):
    """Two runs agree in everything; a failure says in what they do not."""
    first, second = everything(first), everything(second)
    assert [name for name in first if first[name] != second[name]] == []


# What a run reaches


def test_the_good_settings_reach_97_percent_on_the_8x8_digits():
    begun = time.process_time()
    training = train(wide_cnn, DIGITS, progress=False, **GOOD["wide_cnn"])
    assert training.evaluate(DIGITS.test_images, DIGITS.test_labels)[1] == training.epochs[-1].test_accuracy >= 0.97
    assert time.process_time() - begun < 20


def test_lenet_5_soon_reads_most_digits():
    """Two of its epochs; `python -m tests.accuracy` makes all of them and asks for 97 %."""
    training = train(lenet_5, mnist(), progress=False, **GOOD["lenet_5"] | {"epochs": 2})
    assert training.epochs[-1].test_accuracy > 0.93


# The same bits


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_runs_are_the_same_to_the_last_bit(optimizer):
    settings = dict(optimizer=optimizer, learning_rate=OPTIMIZERS[optimizer])
    first, second = (fresh(recorder=keeper(), **settings).go_on() for _ in range(2))
    same(first, second)
    assert first.losses != fresh(seed=4, **settings).go_on().losses


def test_every_picture_comes_once_an_epoch_and_in_another_order_in_the_next():
    training = Training(small_cnn, FEW, Settings(batch=32, epochs=2))
    assert training.steps == 2 * 3 and [len(training.batch(step)["label"]) for step in range(3)] == [32, 32, 26]
    epochs = [np.concatenate([training.batch(step)["image"] for step in steps]) for steps in (range(3), range(3, 6))]
    rows = [sorted(map(bytes, epoch)) for epoch in epochs]
    assert rows[0] == rows[1] == sorted(map(bytes, FEW.train_images)) and not np.array_equal(*epochs)


def test_a_step_is_the_recorded_recipe():
    """What `take_step` records is what `run` makes of the same numbers, line for line."""
    training = fresh(optimizer="Adam")
    before, given = training.state, training.batch(0)
    ledger, again = training.take_step(), run(training.recipe, **before, **given)
    assert bits(ledger) == bits(again) and training.ledger is ledger
    assert all(np.array_equal(training.state[name], ledger[f"new_{name}"]) for name in small_cnn.parameters)
    assert not any(value.flags.writeable for value in ledger.values() if isinstance(value, np.ndarray))


def test_momentum_on_three_batches_is_its_formula():
    training = Training(small_cnn, FEW, Settings(epochs=1, learning_rate=0.05, schedule="linear"))
    kernel, velocity = training.state["c1_kernel"].astype(float), 0.0
    for step in range(3):
        velocity = 0.9 * velocity + training.take_step()["d_c1_kernel"].astype(float)
        kernel = kernel - 0.05 * (1 - step / 3) * velocity
    assert training.state["c1_kernel"] == pytest.approx(kernel, rel=1e-5, abs=1e-7)


# Stopped, and gone on


def stops_at(step):
    """A watcher that has a run interrupted after so many steps, as ■ and Ctrl-C do."""
    return lambda training: training.step == step and os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", [1, 2, 3, 4, 8, 14])
def test_a_run_that_was_stopped_saved_and_loaded_is_the_run_that_was_not(step, optimizer, tmp_path):
    """Within an epoch, at its end, before and after the recorder thins out, with everything that a run can carry."""
    settings = dict(optimizer=optimizer, learning_rate=OPTIMIZERS[optimizer])
    whole = fresh(recorder=keeper(), **settings).go_on()
    stopped = fresh(recorder=keeper(), **settings).go_on(watch=stops_at(step))
    assert stopped.step == step and stopped.paused and stopped.finished and not whole.paused
    assert stopped.stopped == f"stopped by hand after {step} of {whole.steps} steps"
    stopped.save(tmp_path / "run.npz")
    loaded = Training.load(tmp_path / "run.npz", small_cnn, FEW)
    same(loaded, stopped)
    assert bits(loaded.ledger) == bits(stopped.ledger)
    same(loaded.go_on(), whole)
    same(stopped.go_on(), whole)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_that_was_made_longer_knows_the_rates_of_its_past(schedule, tmp_path):
    """Its steps are worked out again as they were made, by the schedule of the time."""
    seen = {}
    training = fresh(schedule=schedule, epochs=3, patience=None)
    training.go_on(watch=lambda run: seen.update({run.step: bits(run.state)}))
    rates = list(training.rates)
    training.go_on(epochs=9, seconds=0)
    assert training.step == 9 + 1 and training.rates[:9] == rates
    seen[10] = bits(training.state)
    training.save(tmp_path / "run.npz")
    for run in (training, Training.load(tmp_path / "run.npz", small_cnn, FEW)):
        again = {step: bits(state) for step, state in run.again(11) if step}
        assert again == seen
        run.last = None  # as after `load`
        assert run.ledger["total"] == run.losses[-1] and run.ledger["learning_rate"] == run.rates[-1]
        assert run.rate(8) == rates[8] and run.rate(10) == (
            run.settings.learning_rate * SCHEDULES[schedule](10 / 27))  # the next one, by the longer schedule


class Slow(Recorder):
    """A recorder that stays in the middle of a step until it is let go."""

    def see(self, step, ledger):
        super().see(step, ledger)
        self.inside.set()
        assert self.let_go.wait(20)


def test_a_run_may_be_saved_while_another_thread_trains_it(tmp_path):
    recorder = Slow(("loss",))
    recorder.inside, recorder.let_go = threading.Event(), threading.Event()
    training = Training(small_cnn, FEW, Settings(epochs=1), recorder)
    trainer = threading.Thread(target=training.take_step)
    trainer.start()
    assert recorder.inside.wait(20)
    saver = threading.Thread(target=training.save, args=[tmp_path / "run.npz"])
    saver.start()
    saver.join(0.2)
    assert saver.is_alive() and training.step == 0  # it waits for the step in hand
    recorder.let_go.set()
    trainer.join(20)
    saver.join(20)
    loaded = Training.load(tmp_path / "run.npz", small_cnn, FEW)
    assert loaded.step == 1 and loaded.losses == training.losses and loaded.recorder.steps == [0]


def test_a_run_may_be_stopped_after_every_step():
    whole, training = fresh(recorder=keeper()).go_on(), fresh(recorder=keeper())
    while not training.finished or training.paused:
        training.go_on(seconds=0)
        assert training.finished
    same(training, whole)


def test_seconds_end_a_run_and_say_so():
    training = fresh(digits=DIGITS, epochs=1000, patience=None).go_on(seconds=0.2)
    assert training.stopped == f"its 0.2 seconds were over after {training.step} of {training.steps} steps"
    assert 0 < training.step < training.steps
    assert fresh(epochs=1).go_on(seconds=1000).stopped == ""
    with pytest.raises(ValueError, match="seconds -1: give a number, 0 or more"):
        fresh().go_on(seconds=-1)


def interrupts(count):
    """SIGINT so many times from another thread, at times that nobody chose."""
    def send():
        for _ in range(count):
            time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupt_loses_nothing(count):
    before = signal.getsignal(signal.SIGINT)
    settings = dict(digits=DIGITS, batch=256, epochs=4, patience=None)
    whole = fresh(recorder=keeper(), **settings).go_on()
    for _ in range(3):
        training = fresh(recorder=keeper(), **settings)
        for _ in range(3):
            try:
                sender = interrupts(count)
                training.go_on()
                sender.join()
            except KeyboardInterrupt:  # the second one came when the run had ended already
                sender.join()
        same(training.go_on(), whole)
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupts_that_are_ignored_stay_so():
    """As in a program that a shell has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert fresh().go_on(watch=stops_at(2)).stopped == ""
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_of_another_network_goes_on_too(tmp_path):
    """LeNet-5 of 1998: numbers that are fixed, parameters that start at one number, a kernel that a line makes."""
    few = Digits(*(part[:48] for part in mnist()[:4]), "48 digits")
    whole, stopped = (Training(lenet_5_1998, few, Settings(batch=20, epochs=2, learning_rate=0.001)) for _ in range(2))
    stopped.go_on(watch=stops_at(4)).save(tmp_path / "run.npz")
    same(Training.load(tmp_path / "run.npz", lenet_5_1998, few).go_on(), whole.go_on())
    assert not np.shares_memory(whole.state["prototypes"], stopped.state["prototypes"])


class Everywhere:
    """Raises KeyboardInterrupt at one line of Python inside cnnlab.training, as an interrupt may at any."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def __call__(self, frame, event, argument):
        if frame.f_globals.get("__package__") == "cnnlab.training":
            self.count += event == "line"
            if self.count == self.at:
                self.at = -1
                raise KeyboardInterrupt
            return self
        return None


def broken_off(training, at) -> bool:
    """Advance a run, broken off at line number `at`; whether there are so many."""
    everywhere, before = Everywhere(at), sys.gettrace()
    sys.settrace(everywhere)
    try:
        training.advance()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return everywhere.at == -1


@pytest.mark.parametrize("before, rate", [(0, 0.3), (5, 0.0), (8, 0.3)],
                         ids=["the first", "the last before patience is over", "one whose start is remembered"])
def test_an_interrupt_at_any_line_of_a_step_loses_nothing(before, rate, tmp_path, monkeypatch):
    """Half a step, half an epoch's end, half an early stop: whatever was broken off is made good, also by saving."""
    def begun():
        training = fresh(digits=some, recorder=keeper(2), patience=9 if rate else 1, learning_rate=rate)
        for _ in range(before):
            training.advance()
        return training
    monkeypatch.setattr("cnnlab.training.run.REMEMBERED", 4)
    some, at = FEW._replace(test_images=FEW.test_images[:5], test_labels=FEW.test_labels[:5]), 1
    whole = begun()
    whole.advance(), whole.advance()
    assert bool(whole.stopped) is (rate == 0)  # then no epoch is better than the one before
    while broken_off(training := begun(), at):
        if at % 10 == 0:
            training.save(tmp_path / "run.npz")
            training = Training.load(tmp_path / "run.npz", small_cnn, some)
        while training.step < whole.step or training.epoch_is_due or training.finished != whole.finished:
            training.advance()
        same(training, whole)
        at += 1
    assert at > 60


def test_a_second_interrupt_breaks_off_and_loses_nothing():
    """The first waits for the end of the step, the second does not; both together are a stop like any other."""
    def twice(training):
        if training.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(9)
    begun = time.monotonic()
    training = fresh().go_on(watch=twice)
    assert time.monotonic() - begun < 6
    assert training.paused and training.step == 4 and training.stopped.startswith("stopped by hand after 4 of ")
    same(training.go_on(), fresh().go_on())


def test_a_run_trains_in_a_thread_too():
    training = fresh(recorder=keeper())
    thread = threading.Thread(target=training.go_on)
    thread.start()
    thread.join()
    same(training, fresh(recorder=keeper()).go_on())


def test_patience_ends_a_run_for_good_and_keeps_the_best(tmp_path):
    training = fresh(epochs=40, patience=1, learning_rate=0.1, dropout=(), l2=0.0, schedule="constant").go_on()
    losses = [epoch.validation_loss for epoch in training.epochs]
    assert training.stopped == ("no lower validation loss for 1 epochs: "
                                f"the parameters after epoch {len(losses) - 1} stay")
    assert losses[-2] == min(losses) and losses[-1] > losses[-2] and len(losses) < 40
    held_out = training.examples[1]
    assert training.evaluate(FEW.train_images[held_out], FEW.train_labels[held_out])[0] == losses[-2]
    assert training.state["c1_kernel"].tolist() != training.parameters["c1_kernel"].tolist()
    training.save(tmp_path / "run.npz")
    loaded = Training.load(tmp_path / "run.npz", small_cnn, FEW)
    same(loaded, training)
    same(loaded.go_on(), training)
    assert not set(held_out) & set(training.examples[0]) and len(held_out) == 9


def test_more_epochs_go_on_from_the_last():
    training = fresh(epochs=2, patience=None, schedule="constant").go_on()
    same(training.go_on(epochs=4), fresh(epochs=4, patience=None, schedule="constant").go_on())
    with pytest.raises(ValueError, match="epochs 3: 4 were begun"):
        training.go_on(epochs=3)


def test_every_step_is_watched_and_shown(capsys):
    seen = []
    train(small_cnn, FEW, progress=True, watch=lambda training: seen.append(training.step), epochs=2)
    assert seen == [1, 2, 3, 4, 5, 6] and "6/6" in capsys.readouterr().err


# Saved, damaged, refused


@cache
def saved() -> bytes:
    """The file of a short run that carries everything."""
    training, file = fresh(recorder=keeper(), optimizer="Adam").go_on(watch=stops_at(5)), BytesIO()
    with_path(training.save, file)
    return file.getvalue()


def with_path(save, file):
    """What a run saves, into a file in memory."""
    with TemporaryDirectory() as folder:
        save(os.path.join(folder, "run.npz"))
        with open(os.path.join(folder, "run.npz"), "rb") as written:
            file.write(written.read())


def refused(tmp_path, content, network=small_cnn, digits=FEW) -> str:
    """Why a file is refused; the sentence names it."""
    (tmp_path / "run.npz").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        Training.load(tmp_path / "run.npz", network, digits)
    assert str(caught.value).startswith(str(tmp_path / "run.npz"))
    return str(caught.value).removeprefix(str(tmp_path / "run.npz"))


def members(content) -> dict:
    with np.load(BytesIO(content)) as arrays:
        return {name: arrays[name] for name in arrays.files}


def told() -> dict:
    return json.loads(str(members(saved())["facts"]))


def changed(facts={}, **arrays) -> bytes:
    """The saved file with some arrays replaced, or left out where they are None, and some facts changed."""
    text = np.array(json.dumps(told() | facts)) if isinstance(facts, dict) else facts
    found = members(saved()) | {"facts": text}
    found |= {name.replace("__", " "): value for name, value in arrays.items()}
    file = BytesIO()
    np.savez(file, **{name: value for name, value in found.items() if value is not None})
    return file.getvalue()


def test_a_file_written_by_numpy_itself_is_read_too(tmp_path):
    (tmp_path / "run.npz").write_bytes(changed())
    assert Training.load(tmp_path / "run.npz", small_cnn, FEW).step == 5


def kernel(value):
    found = members(saved())["state c1_kernel"].copy()
    found.flat[7] = value
    return found


@pytest.mark.parametrize("content, words", [
    (lambda: b"", " is no saved run, or is damaged: it is empty"),
    (lambda: b"not a file of ours", " is no saved run, or is damaged: it is no zip archive"),
    (lambda: saved()[:-30], " is no saved run, or is damaged: its end is missing"),
    (lambda: saved()[:2000] + saved()[2400:], " is no saved run, or is damaged: "),
    (lambda: changed(losses=np.array([{"a": 1}], object)),
     " is no saved run, or is damaged: it cannot be read (ValueError Object arrays"),
    (lambda: changed(facts={"format": 1}), ": its format is 1, this reads 2"),
    (lambda: changed(state__c1_kernel=None), ": it holds no 'state c1_kernel'"),
    (lambda: changed(best__c1_kernel=None), ": it holds no 'best c1_kernel'"),
    (lambda: changed(losses=None), ": it holds no 'losses'"),
    (lambda: changed(kept=None), " is damaged: KeyError('kept')"),
    (lambda: changed(more=np.zeros(3)), ": it holds more than a run, or something else: more"),
    (lambda: changed(facts={"more": 1}), ": it holds more than a run, or something else: other facts"),
    (lambda: changed(facts={"settings": {"seed": 1, "speed": 2}}), " is damaged: TypeError"),
    (lambda: changed(facts={"settings": {"seed": -1}}), ": seed -1: give a whole number, 0 or more"),
    (lambda: changed(facts={"step": 4}), ": losses is float64 (5,), and float64 (4,) fits"),
    (lambda: changed(facts={"epochs": 2 * told()["epochs"]}),
     ": 5 steps and 2 epochs do not go together"),
    (lambda: changed(facts={"stopped": 5}), ": stopped 5 cannot be right"),
    (lambda: changed(facts={"paused": "no"}), ": paused 'no' cannot be right"),
    (lambda: changed(facts={"step": -1}), ": step -1 cannot be right"),
    (lambda: changed(facts={"culprit": "x"}), ": culprit 'x' cannot be right"),
    (lambda: changed(facts={"culprit": 99}), ": culprit 99 cannot be right"),
    (lambda: changed(facts={"best": [99, 0.1]}), ": best [99, 0.1] cannot be right"),
    (lambda: changed(facts={"best": ["0", "x"]}), ": best ['0', 'x'] cannot be right"),
    (lambda: changed(facts={"remembered": [99]}), ": remembered [99] cannot be right"),
    (lambda: changed(kept=np.array([4, 3, 2, 1, 0])), ": the steps that were recorded, [4, 3, 2, 1, 0], cannot be right"),
    (lambda: changed(kept=np.arange(5.0)), ": the steps that were recorded, [0.0, 1.0, 2.0, 3.0, 4.0], cannot be right"),
    (lambda: changed(**{"shapes__c1_kernel": np.array([8, 1, 3, 3])}), ": recorded cells float32"),
    (lambda: changed(**{"facts": np.array("[" * 100_000)}), " is no saved run: it holds"),
    (lambda: changed(state__c1_kernel=np.zeros((8, 1, 3, 4), np.float32)),
     ": state c1_kernel is float32 (8, 1, 3, 4), and float32 (8, 1, 3, 3) fits"),
    (lambda: changed(state__c1_kernel=kernel(0).astype(float)),
     ": state c1_kernel is float64 (8, 1, 3, 3), and float32 (8, 1, 3, 3) fits"),
    (lambda: changed(state__c1_kernel=kernel(np.nan)), ": state c1_kernel has cells that are no finite numbers"),
    (lambda: changed(state__c1_kernel=kernel(np.inf)), ": state c1_kernel has cells that are no finite numbers"),
    (lambda: changed(**{"kept__c1_kernel": np.zeros(5)}), ": 5 recorded cells do not fill"),
    (lambda: changed(facts={"recipe": "loss = nothing"}),
     ": it holds a run of another recipe than 'Small CNN for 8×8 digits' has today"),
    (lambda: changed(facts={"best": [0, 1.0, 2]}), " is damaged: TypeError")])
def test_a_file_that_is_damaged_or_changed_is_refused(content, words, tmp_path):
    assert refused(tmp_path, content()).startswith(words)


def test_a_file_of_another_network_or_of_other_data_is_refused(tmp_path):
    why = refused(tmp_path, saved(), network=without_bias(small_cnn))
    assert why == ": it holds a run of 'Small CNN for 8×8 digits', not of 'Small CNN for 8×8 digits; without biases'"
    four_maps = {"c1_kernel": (4, 1, 3, 3), "c1_bias": (4,), "c3_kernel": (16, 4, 3, 3)}
    narrow = replace(small_cnn, shapes=small_cnn.shapes | four_maps)
    assert "float32 (8, 1, 3, 3), and float32 (4, 1, 3, 3) fits" in refused(tmp_path, saved(), network=narrow)
    one_pixel = FEW.train_images.copy()
    one_pixel[3, 0, 4, 4] += 1 / 16
    for other in (DIGITS, FEW._replace(train_images=one_pixel), FEW._replace(test_labels=FEW.test_labels[::-1])):
        assert refused(tmp_path, saved(), digits=other) == ": it was trained on other pictures or labels than these"
    double = FEW._replace(train_images=FEW.train_images.astype(float), test_images=FEW.test_images.astype(float))
    Training.load(tmp_path / "run.npz", small_cnn, double)  # trained in single precision, they are the same


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    """Most are caught by the archive's checksums; what is left are bits that nobody reads, such as dates."""
    rng, whole, caught = np.random.default_rng(0), everything(loaded(tmp_path, saved())), 0
    for place in rng.integers(0, len(saved()), 150).tolist():
        content = bytearray(saved())
        content[place] ^= 1 << int(rng.integers(8))
        try:
            assert everything(loaded(tmp_path, bytes(content))) == whole
        except ValueError as problem:
            assert str(tmp_path / "run.npz") in str(problem)
            caught += 1
    assert caught > 100


def loaded(tmp_path, content):
    (tmp_path / "run.npz").write_bytes(content)
    return Training.load(tmp_path / "run.npz", small_cnn, FEW)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        Training.load(tmp_path / "none.npz", small_cnn, FEW)


def test_a_save_that_is_broken_off_leaves_the_older_file(tmp_path, monkeypatch):
    training = fresh()
    training.take_step()
    training.save(tmp_path / "run.npz")
    before = (tmp_path / "run.npz").read_bytes()
    training.take_step()
    writes, real = iter(range(9)), np.lib.format.write_array

    def broken(*arguments, **named):
        if next(writes) == 5:
            raise KeyboardInterrupt
        return real(*arguments, **named)
    monkeypatch.setattr(np.lib.format, "write_array", broken)
    with pytest.raises(KeyboardInterrupt):
        training.save(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").read_bytes() == before and os.listdir(tmp_path) == ["run.npz"]


def test_equal_runs_make_equal_files():
    file = BytesIO()
    with_path(fresh(recorder=keeper(), optimizer="Adam").go_on(watch=stops_at(5)).save, file)
    assert file.getvalue() == saved()


def test_what_was_learned_is_exported(tmp_path):
    training = fresh(patience=None, epochs=1).go_on()
    training.export(tmp_path / "learned")
    with np.load(tmp_path / "learned", allow_pickle=False) as arrays:
        assert bits(arrays) == bits(training.parameters) and set(arrays.files) == set(small_cnn.parameters)
        given = {"image": FEW.test_images, "label": FEW.test_labels.astype(float)}
        values = replay(small_cnn.forward, dict(arrays) | given)
    assert float(values["loss"]) == pytest.approx(training.evaluate(FEW.test_images, FEW.test_labels)[0], rel=1e-6)


# Gone astray


@pytest.mark.parametrize("network, digits, optimizer, rate, words", [
    (lenet_5, mnist, "momentum", 1.0, "because the step is too long: the learning rate 1 is 1.7"),
    (lenet_5, mnist, "Adam", 1.0, "because Adam’s first step is up to 1 times the learning rate in every parameter"),
    (small_cnn, digits_8x8, "momentum", 10.0, "because "),
    (small_cnn, digits_8x8, "Adam", 3.0, "because Adam’s first step is up to 1 times the learning rate"),
    (small_cnn, digits_8x8, "gradient descent", 1e30, "because "),
    (small_cnn, digits_8x8, "gradient descent", 1e150,
     "beyond the largest number, 1.79769×10³⁰⁸, because the step is too long: after it, line ")])
def test_a_run_that_goes_astray_stops_and_says_why(network, digits, optimizer, rate, words):
    training = Training(network, digits(np.float32), Settings(optimizer=optimizer, learning_rate=rate, epochs=1))
    begun = time.process_time()
    training.go_on()
    assert time.process_time() - begun < 3
    noticed = f"step {training.step}: line " if rate > 1e29 else f"step {training.step - 1}: the loss of its batch is "
    assert training.stopped.startswith(noticed)
    assert f". Step {training.culprit}: The loss rises from " in training.stopped and words in training.stopped
    assert len(training.stopped) < 800 and training.stopped.endswith(training.diagnosis.verdict)
    assert training.finished and not training.paused and training.go_on().step == training.step


def test_a_run_astray_goes_back_to_the_step_that_did_it(tmp_path):
    """Also where the run was saved between that step and the one at which it was noticed."""
    settings = dict(digits=DIGITS, patience=None, learning_rate=16.0, schedule="warm-up, then cosine", dropout=(),
                    l2=0.0, seed=1)
    whole = fresh(epochs=10, **settings).go_on()
    at = (whole.culprit + whole.step) // 2
    assert REMEMBERED < whole.culprit < at < whole.step
    stopped = fresh(epochs=10, **settings).go_on(watch=stops_at(at))
    stopped.save(tmp_path / "run.npz")
    loaded = Training.load(tmp_path / "run.npz", small_cnn, DIGITS)
    same(loaded.go_on(), whole)
    before = fresh(epochs=10, **settings)
    while before.step < whole.culprit:
        before.advance()
    assert bits(before.state) == bits(whole.state)
    loaded.save(tmp_path / "run.npz")
    again = Training.load(tmp_path / "run.npz", small_cnn, DIGITS)
    same(again, whole)
    assert again.diagnosis.verdict == whole.diagnosis.verdict and again.go_on().step == whole.step


def test_one_hard_picture_is_no_explosion():
    """With batches of one the loss of a step may be ten times the first one's: the mean of some is judged."""
    training = Training(small_cnn, FEW, Settings(batch=1))
    training.step, training.losses = 80, [0.1, *[1.0] * 78, 30.0]
    assert training.exploded() == ""
    training.losses[-30:] = [EXPLODED + 1] * 30
    assert training.exploded().startswith("step 79: the mean loss of 32 batches is ")


# Where nothing learns


def test_a_zero_start_is_stuck_in_all_but_the_last_bias():
    training = Training(small_cnn, FEW, Settings(start="zero"))
    for _ in range(4):
        ledger = training.take_step()
        assert stuck(ledger, small_cnn.parameters) == tuple(name for name in small_cnn.parameters if name != "fc_bias")
    assert silent(ledger) == {"c1_relu": tuple(range(8)), "c3_relu": tuple(range(16))}
    assert not np.any(training.parameters["c1_kernel"]) and np.any(training.parameters["fc_bias"])


def test_a_run_that_learns_is_not_stuck_and_a_unit_that_is_off_is_silent():
    training = Training(lenet_5, mnist(), Settings(batch=8))
    assert stuck(training.take_step(), lenet_5.parameters) == ()
    low = np.float32(-99)
    training.state |= {"c3_bias": np.where(np.arange(16) == 5, low, training.state["c3_bias"]),
                       "f6_bias": np.full(84, low)}
    ledger = training.take_step()
    assert silent(ledger)["c3_relu"] == (5,) and silent(ledger)["f6_relu"] == tuple(range(84))
    off = ~(ledger["c5"] > 0).any(axis=0)
    assert silent(ledger)["c5_relu"] == tuple(np.flatnonzero(off)) and off.any()
    assert set(stuck(ledger, lenet_5.parameters)) == set(lenet_5.parameters) - {"fc_bias"}


# What stands there in training only


def test_both_by_hand():
    recipe = Recipe(out=Dropout("values", "kept", "keep"), price=WeightPenalty("weight", "strength"))
    given = dict(values=[1, 2, 3], kept=[1, 0, 1], keep=0.5, weight=[[3, -4]], strength=0.2)
    ledger = run(recipe, **given)
    assert ledger["out"].tolist() == [1 * 1 / 0.5, 2 * 0 / 0.5, 3 * 1 / 0.5] and ledger["price"] == 0.2 / 2 * (3**2 + 4**2)
    assert str(ledger.explain("out", 2)) == "out[2] = 3×1/0.5 = 6"
    assert str(ledger.explain("price")) == "price = 0.2/2×(3² + (−4)²) = 2.5"
    bent = replay(recipe, {name: np.asarray(value) for name, value in given.items()} | {"weight": np.array([3 + 1e-30j])})
    assert bent["price"].imag == pytest.approx(0.2 * 3 * 1e-30)  # a complex step gives the slope


@pytest.mark.parametrize("wrong, words", [
    ({"kept": [1, 0]}, r"line out = Dropout\(values, kept, keep\): kept \(2,\) and values \(3,\) differ in shape"),
    ({"keep": 0}, "keep 0.0 must be one number above 0 and at most 1"),
    ({"keep": [0.5]}, r"keep \[0.5\] must be one number"),
    ({"strength": [1, 2]}, r"line price = WeightPenalty\(weight, strength\): strength \(2,\) must be one number")])
def test_both_refuse_what_does_not_fit(wrong, words):
    recipe = Recipe(out=Dropout("values", "kept", "keep"), price=WeightPenalty("weight", "strength"))
    with pytest.raises(LineError, match=words):
        run(recipe, **dict(values=[1, 2, 3], kept=[1, 0, 1], keep=0.5, weight=[[3, -4]], strength=0.2) | wrong)


def test_dropout_drops_the_stated_share_anew_in_each_step_and_keeps_the_mean():
    training = fresh(digits=DIGITS, dropout={"flat": 0.25}, batch=256, patience=None)
    ledger = training.take_step()
    kept = ledger["kept_flat"]
    assert set(np.unique(kept)) == {0, 1} and kept.shape == ledger["flat"].shape and abs(kept.mean() - 0.75) < 0.02
    assert ledger["flat_dropped"] == pytest.approx(ledger["flat"] * kept / 0.75)
    assert ledger.line("fc_sum").operation.values == "flat_dropped"
    assert not np.array_equal(kept, training.take_step()["kept_flat"])


def test_the_penalty_pulls_weights_and_no_biases():
    with_l2, without = (fresh(l2=l2, dropout=(), patience=None).take_step() for l2 in (0.25, 0.0))
    squares = sum(np.sum(with_l2[name].astype(float)**2) for name in small_cnn.weights)
    assert float(with_l2["total"]) == pytest.approx(float(without["loss"]) + 0.25 / 2 * squares, rel=1e-6)
    for name in small_cnn.parameters:
        pull = 0.25 * with_l2[name] if name in small_cnn.weights else 0
        assert with_l2[f"d_{name}"] == pytest.approx(without[f"d_{name}"] + pull, rel=1e-5, abs=1e-6)


def test_both_only_add_lines():
    forward = with_penalty(with_dropout(small_cnn.forward, "s2"), ["fc_weight"])
    assert [name for name in forward.names if name not in small_cnn.forward.names] == [
        "s2_dropped", "fc_weight_penalty", "total"]
    assert str(forward.names["total"]) == "total = Add(loss, fc_weight_penalty)"
    assert str(forward.names["c3_sum"]) == "c3_sum = Correlate(s2_dropped, c3_kernel, padding=1)"


def ways(moved, still) -> list:
    """By how much each picture was moved, down and to the right; None where it was not moved by one cell at most."""
    def way(picture, around):
        return next(((1 - i, 1 - j) for i, j in np.ndindex(3, 3) if np.array_equal(picture, around[i:i + 8, j:j + 8])), None)
    return [way(picture[0], np.pad(other[0], 1)) for picture, other in zip(moved, still)]


def test_a_shift_moves_each_picture_by_whole_cells_anew_in_each_step():
    moved, still = (fresh(digits=DIGITS, shift=shift, batch=200, patience=None) for shift in (1, 0))
    first, second = (ways(moved.batch(step)["image"], still.batch(step)["image"]) for step in (0, 1))
    assert set(first) == set(second) == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert sum(one != other for one, other in zip(first, second)) > 150


@pytest.mark.parametrize("schedule, shares", [
    ("constant", [1, 1, 1]), ("linear", [1, 0.5, 0.1]), ("cosine", [1, 0.5, 0.0245]),
    ("in three steps", [1, 0.1, 0.01]), ("warm-up, then cosine", [0, 0.5868, 0.0302])])
def test_schedules_begin_and_end_as_they_say(schedule, shares):
    assert [SCHEDULES[schedule](done) for done in (0, 0.5, 0.9)] == pytest.approx(shares, abs=1e-4)
    training = Training(small_cnn, FEW, Settings(schedule=schedule, learning_rate=0.1, epochs=10))
    rates = [float(training.batch(step)["learning_rate"]) for step in (0, 15, 27)]
    assert rates == pytest.approx([0.1 * share for share in shares], abs=1e-5)


# Batches of every size, data and settings of every kind


@pytest.mark.parametrize("batch, steps", [(1, 90), (89, 2), (90, 1), (1000, 1)])
def test_batches_of_any_size(batch, steps):
    training = fresh(batch=batch, epochs=1, patience=None).go_on()
    assert training.step == steps and len(training.epochs) == 1 and np.isfinite(training.losses).all()


@pytest.mark.parametrize("images, labels, words", [
    (FEW.test_images, FEW.test_labels[:, None], r"labels has the shape \(40, 1\) and images \(40, 1, 8, 8\)"),
    ((FEW.test_images * 16).astype(np.uint8), FEW.test_labels, "images is an array of uint8"),
    (FEW.test_images * 16, FEW.test_labels, "images goes from 0 to 16: scale it, so that cells go from 0 to 1"),
    (FEW.test_images * np.nan, FEW.test_labels, "images has cells that are no finite numbers"),
    (FEW.test_images, FEW.test_labels + 3, "labels goes from 3 to 12"),
    (FEW.test_images[0], FEW.test_labels[0], "Small CNN .* reads pictures"), (FEW.test_images[:1], np.array(3), "labels has the shape")])
def test_what_cannot_be_evaluated_is_refused(images, labels, words):
    with pytest.raises(ValueError, match=f"^evaluate: {words}"):
        fresh().evaluate(images, labels)


def test_an_epoch_counts_every_picture_once():
    training = Training(small_cnn, FEW, Settings(epochs=1, batch=89)).go_on()
    (first, last), (one, other) = training.hits, training.losses
    assert training.epochs[0].accuracy == pytest.approx((89 * first + last) / 90)
    assert training.epochs[0].loss == pytest.approx((89 * one + other) / 90)


def test_one_picture_is_enough():
    one = Digits(*(part[:1] for part in FEW[:4]), "one digit")
    assert Training(small_cnn, one, Settings(epochs=2)).go_on().step == 2
    with pytest.raises(ValueError, match="validation 0.1: of 1 pictures none is left to train on"):
        Training(small_cnn, one, Settings(patience=1))


@pytest.mark.parametrize("part, value, words", [
    ("train_images", FEW.train_images[:, 0], r"reads pictures \(1, 8, 8\), train_images has the shape \(90, 8, 8\)"),
    ("train_images", (FEW.train_images * 16).astype(np.uint8),
     "train_images is an array of uint8, give an array of float32 or float64"),
    ("test_images", FEW.test_images.tolist(), "test_images is no array but a list"),
    ("train_images", FEW.train_images * 255, "train_images goes from 0 to 255: scale it, so that cells go from 0 to 1"),
    ("train_images", np.where(FEW.train_images > 0.9, np.nan, FEW.train_images),
     "train_images has cells that are no finite numbers"),
    ("train_labels", FEW.train_labels.astype(float),
     "train_labels is an array of float64, give an array of whole numbers"),
    ("train_labels", FEW.train_labels + 1, "train_labels goes from 1 to 10, the network tells 10 classes from 0 on"),
    ("test_labels", FEW.test_labels[:39], r"test_labels has the shape \(39,\) and test_images \(40, 1, 8, 8\)"),
    ("train_labels", np.eye(10, dtype=int)[FEW.train_labels], r"train_labels has the shape \(90, 10\)")])
def test_data_of_a_wrong_kind_are_refused(part, value, words):
    with pytest.raises(ValueError, match=f"^digits: .*{words}"):
        Training(small_cnn, FEW._replace(**{part: value}))


def test_a_picture_of_another_size_is_refused():
    words = r"LeNet-5.* reads pictures \(1, 28, 28\), train_images has the shape \(90, 1, 8, 8\)"
    with pytest.raises(ValueError, match=words):
        Training(lenet_5, FEW)
    none = FEW._replace(test_images=FEW.test_images[:0], test_labels=FEW.test_labels[:0])
    with pytest.raises(ValueError, match=r"test_labels has the shape \(0,\) .*: give one label a picture, and one picture"):
        Training(small_cnn, none)
    with pytest.raises(ValueError, match=r"evaluate: no labels for pictures \(40, 1, 8, 8\)"):
        fresh().evaluate(FEW.test_images, [])


@pytest.mark.parametrize("settings, words", [
    ({"epochs": 0}, "epochs 0: give a whole number, 1 or more"),
    ({"batch": 2.5}, "batch 2.5: give a whole number, 1 or more"),
    ({"batch": True}, "batch True: give a whole number, 1 or more"),
    ({"seed": -1}, "seed -1: give a whole number, 0 or more"),
    ({"shift": -1}, "shift -1: give a whole number, 0 or more"),
    ({"shift": 8}, "shift 8: it would move pictures (1, 8, 8) out of sight"),
    ({"patience": 0}, "patience 0: give None, or a whole number, 1 or more"),
    ({"learning_rate": "0.1"}, "learning_rate '0.1': give a number, 0 or more"),
    ({"learning_rate": 10**400}, "learning_rate 1000"),
    ({"learning_rate": float("nan")}, "learning_rate nan: give a number, 0 or more"),
    ({"l2": -1}, "l2 -1: give a number, 0 or more"),
    ({"validation": 1}, "validation 1: give a share between 0 and 1"),
    ({"dropout": ("flat", 0.5)},
     "dropout ('flat', 0.5): give pairs (line, share), each line once, with 0 <= share < 1"),
    ({"dropout": ("s2", "c1")}, "dropout (('s', '2'), ('c', '1')): give pairs (line, share)"),
    ({"dropout": [("flat", 1)]}, "dropout (('flat', 1),): give pairs"),
    ({"dropout": (("flat", 0.1), ("flat", 0.2))}, "dropout (('flat', 0.1), ('flat', 0.2)): give pairs"),
    ({"dropout": 0.5}, "dropout 0.5: give pairs"),
    ({"dropout": {"logits": 0.5}},
     "dropout: between image and logits the network has no line 'logits'; it has c1_sum, c1, "),
    ({"dropout": {"fc_weight": 0.5}}, "dropout: between image and logits the network has no line 'fc_weight'"),
    ({"optimizer": "adam"}, "optimizer 'adam': there are gradient descent, momentum, Adam"),
    ({"schedule": ["cosine"]}, "schedule ['cosine']: there are constant, linear, cosine"),
    ({"start": "big"}, "start 'big': there are Kaiming, standard, zero"),
    ({"speed": 1}, "train: there is no setting speed; there are epochs, batch, optimizer, learning_rate,"),
    ({"recorder": Recorder(("c9",))}, "recorder: a step has no value 'c9'")])
def test_settings_that_do_not_fit_are_named_with_their_value(settings, words):
    with pytest.raises(ValueError) as caught:
        train(small_cnn, FEW, progress=False, **settings)
    assert str(caught.value).startswith(words)


def test_numbers_of_numpy_are_numbers(tmp_path):
    settings = Settings(epochs=np.int64(1), seed=np.int32(2), learning_rate=np.float64(0.02),
                        dropout=[("flat", np.float32(0.5))], l2=Fraction(1, 1000))
    training = Training(small_cnn, FEW, settings)
    training.go_on().save(tmp_path / "run.npz")
    same(Training.load(tmp_path / "run.npz", small_cnn, FEW), training)


# What it holds


def test_memory_does_not_grow_with_the_number_of_steps():
    recorder = Recorder(("c1_kernel",), ("d_c1_kernel",), most=8)
    training = Training(small_cnn, FEW, Settings(epochs=10**6, batch=15, optimizer="Adam"), recorder)

    def held(count) -> tuple[int, int]:
        """(bytes that are held after so many steps, the most that one step more takes)."""
        for _ in range(count):
            training.advance()
        gc.collect()  # also empties the lists of tuples and floats that Python keeps for later
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        training.advance()
        return before, tracemalloc.get_traced_memory()[1]
    tracemalloc.start()
    try:
        (before, peak), (after, later) = held(3 * REMEMBERED), held(399)
    finally:
        tracemalloc.stop()
    assert after - before < 200 * 400 > later - peak  # three numbers a step, and an `Epoch` every six


def test_the_memory_of_a_step_grows_with_the_batch():
    ledgers = [Training(small_cnn, DIGITS, Settings(batch=batch)).take_step() for batch in (64, 128, 256)]
    sizes = [sum(value.nbytes for value in ledger.values()) for ledger in ledgers]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0


def test_a_recorder_stays_within_its_bound_and_spans_the_run():
    recorder = Recorder(("loss", "c1_kernel"), ("d_c1_kernel", "d_fc_weight"), most=7)
    training = Training(small_cnn, FEW, Settings(epochs=17), recorder)
    assert recorder.most_bytes == 0
    for _ in range(51):
        training.take_step()
        assert len(recorder.steps) <= 7 and recorder.bytes <= recorder.most_bytes == 7 * (4 + 4 * 72 + 8 + 8)
    assert recorder.steps == [0, 8, 16, 24, 32, 40, 48] and recorder.every == 8
    assert recorder["loss"].tolist() == [training.losses[step] for step in recorder.steps]
    assert recorder["c1_kernel"].shape == (7, 8, 1, 3, 3)
    again = Training(small_cnn, FEW, Settings(epochs=17))
    for _ in range(17):
        ledger = again.take_step()
    assert np.array_equal(recorder["c1_kernel"][2], ledger["c1_kernel"])
    assert recorder["norm of d_c1_kernel"][2] == pytest.approx(np.sqrt(np.sum(ledger["d_c1_kernel"].astype(float)**2)))


def test_a_recorder_takes_names_in_any_way_and_each_once(tmp_path):
    recorder = Recorder((name for name in ["loss", "loss", "c1_bias"]), norms=["d_fc_bias"] * 2, every=np.int64(2))
    assert (recorder.lines, recorder.norms, recorder.every) == (("loss", "c1_bias"), ("d_fc_bias",), 2)
    training = Training(small_cnn, FEW, Settings(epochs=1), recorder).go_on()
    training.save(tmp_path / "run.npz")
    assert Training.load(tmp_path / "run.npz", small_cnn, FEW).recorder["loss"].tolist() == recorder["loss"].tolist()


def test_what_is_refused_changes_nothing():
    training = Training(small_cnn, FEW, Settings(epochs=1))
    with pytest.raises(ValueError, match="seconds -1: give a number, 0 or more"):
        training.go_on(epochs=30, seconds=-1)
    assert training.settings.epochs == 1 and training.step == 0
    assert training.go_on(seconds=Fraction(0, 10)).stopped.startswith("its 0 seconds were over after 1 of")
    for wrong in ({"epochs": 1}, {}, "epochs", 5):
        with pytest.raises(ValueError, match=r"settings .*: give Settings\(\.\.\.\)"):
            Training(small_cnn, FEW, wrong)


@pytest.mark.parametrize("change, words", [
    ({"starts": {"fc_wait": 1}}, "starts: no number is named 'fc_wait'; did you mean 'fc_weight'?"),
    ({"shapes": {**small_cnn.shapes, "c1_biass": (8,)}}, "no number is named 'c1_biass'; did you mean 'c1_bias'?"),
    ({"fixed": {"prototypes": np.ones(3)}}, "no number is named 'prototypes'")])
def test_a_network_refuses_numbers_that_it_does_not_read(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        replace(small_cnn, **change)


def test_dropout_and_penalty_name_what_is_not_there():
    for ask, words in ((lambda: with_dropout(small_cnn.forward, "flatt"), "dropout: no line is named 'flatt'; did you mean 'flat'?"),
                       (lambda: with_dropout(small_cnn.forward, "image"), "dropout: no line is named 'image'"),
                       (lambda: with_penalty(small_cnn.forward, []), "penalty: no given number is named None"),
                       (lambda: with_penalty(small_cnn.forward, ["fc_wait"]), "penalty: no given number is named 'fc_wait'; did you mean")):
        with pytest.raises(ValueError, match=re.escape(words)):
            ask()
    assert with_penalty(small_cnn.forward, "fc_weight") == with_penalty(small_cnn.forward, ["fc_weight"])


def test_what_a_recorder_cannot_do_is_said():
    recorder = Recorder(("logits",))
    Training(small_cnn, FEW, Settings(epochs=1), recorder).go_on()
    with pytest.raises(ValueError, match="recorder: logits has not the same shape in every step"):
        recorder["logits"]
    with pytest.raises(ValueError, match="recorder: another run has it; give a new one"):
        Training(small_cnn, FEW, None, recorder)
    for wrong in (None, "loss", 5, ("loss", 5)):
        with pytest.raises(ValueError, match="recorder: lines .*: give a tuple of names"):
            Recorder(wrong)
    new = Recorder(("loss",))
    with pytest.raises(ValueError, match="shift 8"):
        Training(small_cnn, FEW, Settings(shift=8), new)  # what was refused has not taken it
    Training(small_cnn, FEW, None, new)
    with pytest.raises(ValueError, match="recorder: another run has it; give a new one"):
        Training(small_cnn, FEW, None, new)
    for wrong, words in (({"lines": "loss"}, "recorder: lines 'loss': give a tuple of names"),
                         ({"most": 0}, "recorder: most 0: give a whole number, 1 or more")):
        with pytest.raises(ValueError, match=words):
            Recorder(**wrong)


# Networks with a part left out


@pytest.mark.parametrize("network", [small_cnn, lenet_5, lenet_5_1998], ids=["small_cnn", "lenet_5", "lenet_5_1998"])
def test_a_network_without_biases_is_the_one_whose_biases_are_0(network):
    bare = without_bias(network)
    assert not any(isinstance(operation, AddBias) for _, operation in bare.forward)
    assert set(bare.shapes) == {name for name in network.shapes if "bias" not in name}
    start = network.start(5)
    image = np.random.default_rng(0).random((3, *network.picture), np.float32)
    given = {"image": image, "label": np.array([1.0, 2, 9])}
    logits = [replay(each.forward, start | given)["logits"] for each in (network, bare)]
    assert np.array_equal(*logits)
    assert "without biases" in bare.title and bare.start(1).keys() | {"image", "label"} == set(bare.forward.given)


def test_a_network_without_activations_passes_sums_on():
    plain = without_activation(small_cnn)
    assert plain.shapes == small_cnn.shapes and str(plain.forward.names["s2"]) == "s2 = MaxPool(c1)"
    assert not any(isinstance(operation, ReLU) for _, operation in plain.forward)
    assert not any("Tanh" in type(operation).__name__ for _, operation in without_activation(lenet_5_1998).forward)
    # of what is left only max-pooling is not linear: twice the picture is twice the logits, where no bias is added
    bare = without_bias(plain)
    image, given = np.random.default_rng(0).random((2, 1, 8, 8), np.float32), bare.start(5) | {"label": np.zeros(2)}
    once, twice = (replay(bare.forward, given | {"image": factor * image})["logits"] for factor in (1, 2))
    assert np.array_equal(2 * once, twice)


@pytest.mark.parametrize("change", [without_bias, without_activation,
                                    lambda network: without_activation(without_bias(network))])
def test_they_train_like_any_other(change):
    training = Training(change(small_cnn), DIGITS, Settings(epochs=2, seed=1)).go_on()
    assert training.epochs[-1].test_accuracy > 0.7 and training.losses[-1] < training.losses[0]
