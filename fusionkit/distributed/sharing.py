"""How tasks are shared out to workers that are unequal, die, or get stuck: who gets what next, what is done again.

No process and no network is known here; who gives, waits and answers is a pool.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BUNDLE = 1.0
"""No bundle of tasks holds more work than this, in seconds: what is lost with a worker, and how often a bar moves."""
COPIES = 3
"""So many workers have one task at most."""
_LATE, _LATE_AT_LEAST = 3.0, 0.2


@dataclass(eq=False)
class Hand:
    """A worker, as whoever shares out tasks sees it.

    Args:
        worker: The worker.
        about: What it says of itself: `name`, `pid`, `device`, `versions`.
        speed: Tasks a second, by their kind, as far as it is known.
        calls: What it was given and has not answered, the one it is at first; also of runs that have ended.
    """

    worker: Any
    about: Mapping[str, Any] = field(default_factory=dict)
    speed: dict[Hashable, float] = field(default_factory=dict)
    calls: deque[Call] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return str(self.about.get("name", ""))


@dataclass(eq=False)
class Call:
    """Tasks that a worker was given together.

    Args:
        hand: Who has them.
        numbers: Which they are.
        since: When it began with them; None while it is at earlier ones.
        wanted: Whether somebody still waits for the answer.
        again: How many of them another worker has, too.
    """

    hand: Hand
    numbers: Sequence[int]
    since: float | None = None
    wanted: bool = True
    again: int = 0


class Fault(Exception):  # noqa: N818 - of a task, and told as one
    """A task of which workers die, one after the other; its argument is the task's number."""


class Sharing:
    """The tasks of one run, shared out by pulling: whoever is free gets the next ones.

    A worker gets a bundle: half of its share, by its speed, of what is left (guided self-scheduling), at most `BUNDLE`
    seconds of it. So many cheap tasks cost few calls, unequal workers end together, and the last tasks go one by one.

    Args:
        kinds: Of each task what it is like: tasks of one kind take about as long as each other.
        ahead: So many calls a worker has at one time; with 2 the next one travels while one is computed.
        attempts: So many workers die of a task before it counts as its fault.
        backups: Whether a late task is given to a free worker, too.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        kinds: Sequence[Hashable],
        *,
        ahead: int = 2,
        attempts: int = 3,
        backups: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._kinds, self._ahead, self._attempts, self._backups, self._clock = kinds, ahead, attempts, backups, clock
        self._waiting = deque(range(len(kinds)))
        self._left = set(range(len(kinds)))
        self._deaths: Counter[int] = Counter()
        self._took: dict[Hashable, list[float]] = {}
        self._calls: list[Call] = []

    @property
    def left(self) -> int:
        """How many tasks have no answer yet."""
        return len(self._left)

    @property
    def waiting(self) -> int:
        """How many tasks nobody has."""
        return len(self._waiting)

    def next(self, hands: Iterable[Hand]) -> Call | None:
        """What is to be given to whom next, noted as given; None where everybody has enough, or nothing is left."""
        hands = list(hands)
        while self._waiting and self._waiting[0] not in self._left:
            self._waiting.popleft()  # a copy of it was quicker
        if not self._waiting:
            return self._backup(hands) if self._backups else None
        free = [hand for hand in hands if len(hand.calls) < self._ahead and not self._is_held_up(hand)]
        # A task that a worker may have died of is alone with one: so it is known whose fault a death is.
        if self._deaths[self._waiting[0]]:
            free = [hand for hand in free if not hand.calls]
        else:
            free = [hand for hand in free if not any(self._suspects(call) for call in hand.calls)]
        free = self._in_time(free, hands)
        if not free:
            return None
        # Everybody has one before anybody has two.
        hand = min(free, key=lambda each: len(each.calls))
        count = 1 if self._deaths[self._waiting[0]] else self._bundle(hand, hands)
        return self._given(hand, [self._waiting.popleft() for _ in range(count)])

    def ended(self, call: Call, seconds: float) -> list[int]:
        """Note that a call was answered, and return those of its tasks that had no answer before.

        Args:
            call: The call.
            seconds: What the worker was busy with it.
        """
        self.over(call)
        kind = self._kinds[call.numbers[0]]
        self._took.setdefault(kind, []).append(seconds / len(call.numbers))
        call.hand.speed[kind] = len(call.numbers) / max(seconds, 1e-6)
        new = [number for number in call.numbers if number in self._left]
        self._left.difference_update(new)
        return new

    def lost(self, hand: Hand) -> list[int]:
        """Note that a worker died, and return the tasks that are to be done again; they are the next ones.

        Raises:
            Fault: A task has killed as many workers as it may.
        """
        mine = [call for call in self._calls if call.hand is hand and call.numbers]
        for call in mine:
            self._calls.remove(call)
        # It died of what it was at; of which task of a bundle nobody knows, so that each goes alone from now on.
        at_work = [call for call in mine if call.since is not None]
        suspects = [number for call in at_work for number in call.numbers if number in self._left]
        self._deaths.update(suspects)
        if guilty := [number for number in suspects if self._deaths[number] >= self._attempts]:
            raise Fault(guilty[0])
        elsewhere = {number for call in self._calls for number in call.numbers}
        again = [number for call in mine for number in call.numbers if number in self._left and number not in elsewhere]
        self._waiting.extendleft(reversed(again))
        return again

    def waits_for(self, call: Call) -> bool:
        """Whether an answer of a call would tell anything that is not known yet."""
        return call in self._calls and not self._left.isdisjoint(call.numbers)

    def over(self, call: Call) -> None:
        """Note that a worker has done with a call, whatever came of it."""
        if call in self._calls:
            self._calls.remove(call)
        over(call, self._clock())

    def given_up(self) -> None:
        """Nobody waits for what is still being done."""
        for call in self._calls:
            call.wanted = False
        self._calls.clear()

    def _given(self, hand: Hand, numbers: Sequence[int]) -> Call:
        call = Call(hand, numbers, None if hand.calls else self._clock())
        hand.calls.append(call)
        self._calls.append(call)
        return call

    def _in_time(self, free: Sequence[Hand], hands: Sequence[Hand]) -> list[Hand]:
        """Of those who may get the next task the ones who do not end with it after all others: these do it sooner."""
        kind = self._kinds[self._waiting[0]]
        ends = {
            id(hand): self._free_in(hand) + 1 / hand.speed[kind]
            for hand in hands
            if kind in hand.speed and not self._is_held_up(hand)
        }
        total = sum(hand.speed[kind] for hand in hands if id(hand) in ends)
        last = min(ends.values(), default=0.0) + (len(self._waiting) / total if total else 0.0)
        return [hand for hand in free if ends.get(id(hand), 0.0) <= last]

    def _free_in(self, hand: Hand) -> float:
        """Seconds until a worker has done what it has, as far as can be told."""
        seconds = 0.0
        for call in hand.calls:
            takes = len(call.numbers) / hand.speed.get(self._kinds[call.numbers[0]], float("inf"))
            begun = 0.0 if call.since is None else self._clock() - call.since
            seconds += max(0.0, takes - begun)
        return seconds

    def _bundle(self, hand: Hand, hands: Sequence[Hand]) -> int:
        """How many of the next tasks to give: many while many are left, one at the end; fewer to a slow worker."""
        kind = self._kinds[self._waiting[0]]
        known = [each.speed[kind] for each in hands if kind in each.speed]
        if kind not in hand.speed or not known:
            return 1
        speed = hand.speed[kind]
        share = speed / (sum(known) * len(hands) / len(known))
        most = max(1, min(int(len(self._waiting) * share / 2), int(speed * BUNDLE)))
        alike = 0
        for number in self._waiting:
            if alike == most or self._kinds[number] != kind or self._deaths[number] or number not in self._left:
                break
            alike += 1
        return alike

    def _suspects(self, call: Call) -> bool:
        return call in self._calls and any(self._deaths[number] for number in call.numbers)

    def _late(self, call: Call) -> bool:
        """Whether a call takes far longer than its like."""
        took = self._took.get(self._kinds[call.numbers[0]], ())
        if call.since is None or len(took) < 3:
            return False
        late = max(_LATE * statistics.median(took) * len(call.numbers), _LATE_AT_LEAST)
        return self._clock() - call.since > late

    def _is_held_up(self, hand: Hand) -> bool:
        """Whether a worker is late, or at something that nobody waits for; it gets nothing more until it answers."""
        return bool(hand.calls) and (hand.calls[0] not in self._calls or self._late(hand.calls[0]))

    def _backup(self, hands: Sequence[Hand]) -> Call | None:
        """A task of a worker that is late, for one that has nothing to do."""
        free = [hand for hand in hands if not hand.calls]
        if not free:
            return None
        copies = Counter(number for call in self._calls for number in call.numbers)
        # Of one that is stuck all calls are late, also those that it has not begun.
        stuck = {id(call.hand) for call in self._calls if self._late(call)}
        in_time = {number for call in self._calls if id(call.hand) not in stuck for number in call.numbers}
        for call in sorted(self._calls, key=lambda each: each.since or self._clock()):
            if id(call.hand) not in stuck:
                continue
            for number in call.numbers:  # one by one, so that all that are free help
                if number in self._left and number not in in_time and copies[number] < COPIES:
                    call = self._given(free[0], [number])
                    call.again = 1
                    return call
        return None


def over(call: Call, now: float) -> None:
    """Take a call from its worker's hands; the worker is at the next one from now on."""
    if call in call.hand.calls:
        call.hand.calls.remove(call)
    if call.hand.calls and call.hand.calls[0].since is None:
        call.hand.calls[0].since = now
