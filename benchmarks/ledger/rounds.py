"""Runs a way of doing something in rounds, by one or several clients, each a process forked from this one.

It is asked by lines "WAY CLIENTS SECONDS" and answers each with how often a second it was done. So the set-up
of a way (imports, models, accounts) is paid once and not in each round. Only the standard library is used:
the peer's environment has nothing else in common.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

WARM_UPS = 20  # connections and plans
START_SECONDS = 120.0
Once = Callable[[], object]
Way = Callable[[int], Once]  # of the client's number, a new one for each client
forked = multiprocessing.get_context("fork")


def serve(ways: Mapping[str, Way]) -> None:
    """The caller has no open connection, which a fork would share."""
    print("ready", flush=True)
    numbers = count()
    for line in sys.stdin:
        way, clients, seconds = line.split()
        chosen = [next(numbers) for _ in range(int(clients))]
        print(rate(ways[way], chosen, float(seconds)), flush=True)


def rate(way: Way, numbers: list[int], seconds: float) -> float:
    """Returns how often a second the clients did it together."""
    barrier, rates = forked.Barrier(len(numbers)), forked.SimpleQueue()
    processes = [
        forked.Process(target=client, args=(way, number, seconds, barrier, rates)) for number in numbers
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("A client failed.")
    return float(sum(rates.get() for _ in processes))


def client(way: Way, number: int, seconds: float, barrier: Barrier, rates: "SimpleQueue[float]") -> None:
    try:
        once = way(number)
        for _ in range(WARM_UPS):
            once()
        barrier.wait(START_SECONDS)
        rates.put(measured(once, seconds))
    except BaseException:
        barrier.abort()  # the others must not wait
        raise


def measured(once: Once, seconds: float) -> float:
    began = now = time.perf_counter()
    times = 0
    while now - began < seconds:
        once()
        times += 1
        now = time.perf_counter()
    return times / (now - began)
