"""Steps are drawn ahead of their time, in a thread, and as if they were not."""

import threading
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from short_training import IN_MID_FADE, LAST_STEP, SHORT, SMALL, start

from rgi.training import draws, progressive
from rgi.training.draws import AHEAD, draw_step, prefetch
from rgi.training.schedule import Schedule


def test_what_is_prefetched_comes_whole_and_in_order():
    assert list(prefetch(str, range(3, 13))) == [str(step) for step in range(3, 13)]
    assert list(prefetch(str, range(0))) == []


def test_the_next_steps_are_prepared_while_one_is_computed():
    prepared = [threading.Event() for _ in range(10)]
    with closing(prefetch(lambda step: prepared[step].set(), range(10))) as steps:
        next(steps)
        assert all(event.wait(10) for event in prepared[: 1 + AHEAD])
        assert not any(event.is_set() for event in prepared[1 + AHEAD :])


def test_an_error_in_the_thread_is_raised_at_its_own_step():
    steps = prefetch(lambda step: 1 // (3 - step), range(10))
    assert [next(steps) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(steps)


def test_no_thread_is_left_when_a_training_breaks_off(pictures, tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    def drawing():
        return [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]

    monkeypatch.setattr(progressive, "train_step", fail)
    with pytest.raises(KeyboardInterrupt):
        start(pictures, tmp_path)
    assert not drawing()


@pytest.mark.parametrize("mirror", [False, True])
def test_the_parts_of_a_draw_make_up_the_whole(pictures, mirror):
    position = Schedule(SHORT, SMALL.levels).at(LAST_STEP - 1)
    settings = replace(SHORT, mirror=mirror)

    def drawn(part):
        found = draw_step(pictures, 6, position, settings, 0, IN_MID_FADE, part)
        return found.reals, found.latent, found.mixing

    halves = zip(drawn(slice(0, 4)), drawn(slice(4, 8)), strict=True)
    for whole, both in zip(drawn(draws.WHOLE), halves, strict=True):
        assert torch.equal(whole, torch.cat(both))
