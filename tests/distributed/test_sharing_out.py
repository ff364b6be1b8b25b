"""How tasks are shared out, tried with workers that are only numbers and a clock that only this test moves."""

from __future__ import annotations

import heapq

import pytest

from fusionkit.distributed.sharing import BUNDLE, Call, Fault, Hand, Sharing


class World:
    """Workers of given speeds, and the time.

    Args:
        tasks: How many there are.
        speeds: Seconds of a task, by worker.
        stuck: Seconds of a task by number, where it takes another time in its first worker's hands.
        deadly: Numbers of tasks that kill their worker.
        costs: Seconds that a call takes beside its tasks.
    """

    def __init__(
        self,
        tasks: int,
        speeds: list[float],
        *,
        stuck: dict[int, float] | None = None,
        deadly: tuple[int, ...] = (),
        costs: float = 0.0,
        backups: bool = True,
    ) -> None:
        self.now = 0.0
        self.sharing = Sharing(["task"] * tasks, backups=backups, clock=lambda: self.now)
        self.speeds, self.costs, self.deadly, self.stuck = dict(enumerate(speeds)), costs, deadly, dict(stuck or {})
        self.hands = [Hand(number) for number in self.speeds]
        self.sizes: list[int] = []
        self.done: list[int] = []
        self.died = 0
        self._events: list[tuple[float, int, Call]] = []

    def run(self) -> float:
        """Do all tasks; how long that took."""
        while self.sharing.left:
            while (call := self.sharing.next(self.hands)) is not None:
                self.sizes.append(len(call.numbers))
                if call.hand.calls[0] is call:
                    self._begin(call)
            if not self._events or self._events[0][0] > self.now + 0.25:
                self.now += 0.25  # somebody may be late
                assert self.now < 1000
                continue
            self.now, _, call = heapq.heappop(self._events)
            if call.hand not in self.hands:
                continue
            if any(number in self.deadly for number in call.numbers):
                self._die(call.hand)
                continue
            self.done += self.sharing.ended(call, len(call.numbers) * self.speeds[call.hand.worker])
            if call.hand.calls:
                self._begin(call.hand.calls[0])
        return self.now

    def _begin(self, call: Call) -> None:
        seconds = sum(self.stuck.pop(number, self.speeds[call.hand.worker]) for number in call.numbers)
        heapq.heappush(self._events, (self.now + seconds + self.costs, id(call), call))

    def _die(self, hand: Hand) -> None:
        self.died += 1
        self.hands.remove(hand)
        self.speeds[new := 100 + self.died] = self.speeds[hand.worker]
        self.hands.append(Hand(new))
        self.sharing.lost(hand)


@pytest.mark.parametrize("speeds", [[0.05], [0.05] * 8, [0.05] * 4 + [0.1] * 4, [0.05] * 7 + [0.2]])
def test_unequal_workers_end_together(speeds: list[float]) -> None:
    world = World(225, speeds)
    took = world.run()
    assert sorted(world.done) == list(range(225))
    ideal = 225 / sum(1 / each for each in speeds)
    assert ideal <= took + 1e-9
    assert took <= ideal + max(speeds)


def test_many_cheap_tasks_cost_few_calls_none_of_which_holds_more_than_a_second_of_work() -> None:
    world = World(1000, [0.01, 0.01])
    world.run()
    assert len(world.sizes) < 60
    assert max(world.sizes) == BUNDLE / 0.01
    assert world.sizes[-1] == 1


def test_a_late_task_is_done_by_whoever_is_free_and_its_worker_gets_nothing_more() -> None:
    stuck = {30: 40.0}
    assert World(60, [0.1] * 3, stuck=stuck, backups=False).run() > 40
    world = World(60, [0.1] * 3, stuck=stuck)
    assert world.run() < 60 * 0.1 / 3 + 2
    assert sorted(world.done) == list(range(60))  # each once


def test_what_a_dead_worker_had_comes_next() -> None:
    sharing = Sharing(["task"] * 9)
    first, second = hands = [Hand(1), Hand(2)]
    given = [sharing.next(hands) for _ in range(5)]
    assert [call and (call.hand.worker, list(call.numbers)) for call in given] == [
        (1, [0]), (2, [1]), (1, [2]), (2, [3]), None,
    ]  # fmt: skip
    assert sharing.lost(first) == [0, 2]
    assert given[1] is not None
    assert sharing.ended(given[1], 0.1) == [1]
    # The one it died of goes alone to somebody who has nothing else.
    assert sharing.next([second]) is None
    assert given[3] is not None
    assert sharing.ended(given[3], 0.1) == [3]
    again = sharing.next([second])
    assert again is not None
    assert list(again.numbers) == [0]
    assert sharing.next([second]) is None


def test_a_task_that_kills_three_workers_is_at_fault_and_its_neighbours_are_not() -> None:
    world = World(100, [0.05] * 3, deadly=(40,))
    with pytest.raises(Fault) as fault:
        world.run()
    assert fault.value.args == (40,)
    assert world.died == 3


def test_who_is_still_at_a_run_that_has_ended_gets_nothing_of_the_next_one() -> None:
    hand = Hand(1)
    old = Sharing(["task"] * 2, backups=False)
    call = old.next([hand])
    assert call is not None
    old.given_up()
    assert not call.wanted
    assert Sharing(["task"]).next([hand]) is None
