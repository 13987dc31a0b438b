from __future__ import annotations

import asyncio
import logging
from random import Random

import pytest

from roombell.engine.lifecycle import BackgroundLoop
from roombell.errors import StoreError
from roombell.testing.virtual_time import run


class Counting(BackgroundLoop):
    def __init__(self, pause_s=1.0, fail=lambda n: None):
        super().__init__("counter")
        self.steps, self.inside, self._pause_s, self._fail = 0, 0, pause_s, fail

    async def step(self):
        self.inside += 1
        assert self.inside == 1, "two steps at once"
        self.steps += 1
        try:
            error = self._fail(self.steps)
            await asyncio.sleep(0.01)
            if error is not None:
                raise error
        finally:
            self.inside -= 1
        return self._pause_s


def test_a_loop_steps_when_its_pause_is_over_or_when_it_is_woken():
    async def main():
        loop = Counting(pause_s=100.0)
        loop.start()
        await asyncio.sleep(1)
        assert loop.steps == 1
        loop.wake()
        await asyncio.sleep(1)
        assert loop.steps == 2
        await asyncio.sleep(100)
        assert loop.steps == 3
        await loop.stop()

    run(main())


def test_start_and_stop_may_be_called_in_any_order_and_any_number_of_times():
    async def main():
        loop = Counting()
        await loop.stop()
        loop.start()
        loop.start()
        assert loop.running
        await asyncio.gather(loop.stop(), loop.stop())
        assert not loop.running
        steps = loop.steps
        await asyncio.sleep(10)
        assert loop.steps == steps
        loop.start()
        await asyncio.sleep(10)
        assert loop.steps > steps
        await loop.stop()

    run(main())


@pytest.mark.parametrize("error", [StoreError("away"), ValueError("a fault")])
def test_a_failing_step_is_tried_again_ever_more_slowly_and_then_all_is_well(error, caplog):
    async def main():
        loop = Counting(fail=lambda n: error if n < 8 else None)
        with caplog.at_level(logging.WARNING):
            loop.start()
            await asyncio.sleep(120)
        assert loop.steps > 8
        assert loop.running
        await loop.stop()

    run(main())
    assert "tries again" in caplog.text


def test_stop_waits_for_the_step_under_way():
    async def main():
        loop = Counting()
        loop.start()
        await asyncio.sleep(0.005)
        assert loop.inside == 1
        await loop.stop()
        assert loop.inside == 0

    run(main())


@pytest.mark.parametrize("seed", range(20))
def test_stress_whatever_the_order_of_calls_one_step_at_a_time_and_a_clean_end(seed):
    async def main():
        random = Random(seed)
        loop = Counting(pause_s=0.05, fail=lambda n: StoreError("x") if random.random() < 0.2 else None)

        async def meddle():
            for _ in range(50):
                await asyncio.sleep(random.random() * 0.1)
                draw = random.random()
                if draw < 0.3:
                    loop.start()
                elif draw < 0.5:
                    await loop.stop()
                else:
                    loop.wake()

        await asyncio.gather(*[meddle() for _ in range(4)])
        await loop.stop()
        assert not loop.running
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    logging.disable(logging.ERROR)
    try:
        run(main())
    finally:
        logging.disable(logging.NOTSET)


def test_a_loop_that_is_woken_often_while_it_fails_tries_again_as_soon_as_one_that_is_not():
    async def main():
        loop = Counting(pause_s=100.0, fail=lambda n: StoreError("gone") if n <= 20 else None)
        loop.start()
        while loop.steps < 20:
            loop.wake()
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        assert loop.steps > 20
        await loop.stop()

    run(main())
