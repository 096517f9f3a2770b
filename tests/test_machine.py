"""What training asks of the machine: it is asked, and put back."""

import sys

import numpy as np

from cnnlab.machine import keep_freed_memory, libraries, one_thread


def threads() -> set[int]:
    return {library["num_threads"] for library in libraries().info() if library["user_api"] == "blas"}


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


def test_freed_memory_is_kept_where_glibc_can_be_told(monkeypatch):
    assert keep_freed_memory() in (True, False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert keep_freed_memory() is False
