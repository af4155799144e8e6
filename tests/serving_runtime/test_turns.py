"""Turns are taken one at a time, in order."""

from __future__ import annotations

import threading
import time

from serving.runtime.turns import Turns


def test_turns_go_in_order_and_none_is_lost() -> None:
    turns, order = Turns(1), []

    def work(place: int) -> None:
        with turns:
            order.append(place)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(20)]
    with turns:
        for place, thread in enumerate(threads):
            thread.start()
            while len(turns._waiting) <= place:
                time.sleep(0.001)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    work(20)
    assert order[-1] == 20


def test_no_more_inside_than_there_are_turns() -> None:
    turns, inside, most = Turns(2), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(200):
            with turns:
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 2 and inside == [0]


def test_an_error_inside_gives_the_turn_back() -> None:
    turns = Turns(1)
    for _ in range(3):
        try:
            with turns:
                raise ValueError
        except ValueError:
            pass
    with turns:
        pass
