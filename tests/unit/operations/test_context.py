"""Fields of what the code works on: bound for a block, and brought along by an error."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest

from include.operations import context


def test_fields_hold_for_the_block_and_inner_ones_win():
    with context.bind(batch=1, object="volunteers"):
        with context.bind(batch=2, chunk=7):
            assert context.current() == {"batch": 2, "object": "volunteers", "chunk": 7}
        assert context.current() == {"batch": 1, "object": "volunteers"}
        with context.bind(object=None):
            assert context.current() == {"batch": 1}
    assert context.current() == {}


def test_what_is_given_out_cannot_change_what_is_bound():
    with context.bind(batch=1):
        context.current()["batch"] = 2
        assert context.current() == {"batch": 1}


def test_in_task():
    assert not context.in_task()
    with context.bind(task="work"):
        assert context.in_task()


def test_an_error_brings_the_fields_of_where_it_was_raised():
    with pytest.raises(ValueError, match="x") as caught, context.bind(batch=1), context.bind(chunk=7):
        raise ValueError("x")
    assert context.of(caught.value) == {"batch": 1, "chunk": 7}
    assert context.current() == {}


def test_the_errors_behind_it_fill_up_and_do_not_overrule():
    def read():
        with context.bind(chunk=7, row=3):
            raise KeyError("x")

    def convert():
        try:
            read()
        except KeyError as error:
            raise ValueError("y") from error

    with pytest.raises(ValueError, match="y") as caught, context.bind(chunk=8):
        convert()
    assert context.of(caught.value) == {"chunk": 8, "row": 3}


def test_an_error_nobody_bound_anything_for_brings_nothing():
    assert context.of(ValueError()) == {}


def test_threads_are_given_the_fields_by_hand():
    with context.bind(batch=1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(context.current).result() == {}
        assert pool.submit(contextvars.copy_context().run, context.current).result() == {"batch": 1}
