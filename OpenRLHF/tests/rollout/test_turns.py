"""Generation and weight updates in one engine, from two threads."""

import threading

from openrlhf.rollout.turns import Turns


def test_an_update_comes_before_the_next_step_and_never_within_one() -> None:
    turns, order = Turns(), []
    stepping, updated = threading.Event(), threading.Event()

    def generate() -> None:
        for number in range(3):
            with turns.step():
                order.append(f"step {number}")
                if number == 1:
                    stepping.set()
                    assert not updated.wait(0.2)  # whoever updates waits for the end of this step
                order.append(f"end {number}")

    def update() -> None:
        assert stepping.wait(5)
        turns.begin_update()
        updated.set()
        order.append("update")
        turns.end_update()

    threads = [threading.Thread(target=work, daemon=True) for work in (generate, update)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert order == ["step 0", "end 0", "step 1", "end 1", "update", "step 2", "end 2"]


def test_an_update_that_broke_off_can_be_ended_by_who_connects_again() -> None:
    turns = Turns()
    turns.begin_update()
    turns.end_update()
    turns.end_update()
    with turns.step():
        pass
