"""What training asks of the machine: it is asked, and put back."""

import linecache
import sys

import numpy as np

from cnnlab.machine import Held, keep_freed_memory, libraries, one_thread


def threads() -> set[int]:
    return {library.get_num_threads() for library in libraries()}


def test_one_thread_while_it_lasts():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = threads()
    with one_thread():
        assert threads() in ({1}, set())  # none, where NumPy multiplies without such a library
        with one_thread():
            assert threads() in ({1}, set())
        assert threads() in ({1}, set())
    assert threads() == before


def test_the_threads_come_back_with_the_last_who_asked():
    """As with two runs in two threads, of which the first to begin is the first to end."""
    before, first, second = threads(), one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() in ({1}, set())
    second.__exit__(None, None, None)
    assert threads() == before


def test_the_threads_come_back_after_an_error():
    before = threads()
    try:
        with one_thread():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert threads() == before


def test_the_threads_come_back_wherever_an_interrupt_comes():
    """Before each line of `one_thread`, on the way in and on the way out; the next one to ask makes all good.

    But not at a `with`, where Python itself lets none come between a lock and its release.
    """
    before, code, lines = threads(), one_thread.__wrapped__.__code__, 0
    for at in range(1, 30):
        left = at

        def trace(frame, event, argument):
            nonlocal left
            if event == "line" and not linecache.getline(code.co_filename, frame.f_lineno).lstrip().startswith("with"):
                left -= 1
                if not left:
                    raise KeyboardInterrupt
            return trace if frame.f_code is code else None
        sys.settrace(trace)
        try:
            with one_thread():
                pass
        except KeyboardInterrupt:
            lines += 1
        finally:
            sys.settrace(None)
        with one_thread():
            assert threads() in ({1}, set()), at
        assert threads() == before and not Held.inside, at
    assert lines >= 8


def test_freed_memory_is_kept_where_glibc_can_be_told(monkeypatch):
    assert keep_freed_memory() in (True, False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert keep_freed_memory() is False
