"""Interrupts that wait for the step in hand, and a bar that shows how far a run is."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interrupted():
    """A list that the first interrupt adds to, so that the step in hand is finished; the second interrupts as ever.

    A list and no Event: that takes a lock, for which a second interrupt within the first would wait for ever.
    """
    asked, before = [], signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before == signal.SIG_IGN:
        yield asked
        return

    def ask(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def bar(training, progress):
    """A function that shows how far the run is, with tqdm where that is wanted."""
    if not progress:
        yield lambda: None
        return
    from tqdm.auto import tqdm
    with tqdm(total=training.steps, initial=training.step, unit="step", mininterval=0.2) as shown:
        def show():
            if shown.update(training.step - shown.n) and training.epochs:
                last = training.epochs[-1]
                shown.set_postfix(epoch=len(training.epochs), loss=f"{last.loss:.3f}",
                                  test=f"{last.test_accuracy:.1%}", refresh=False)
        yield show
