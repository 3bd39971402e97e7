"""Pauses the search for garbage while a process imports Amani.

To import all apps makes a quarter of a million objects that stay. The collector walks through them again and
again while they are made: a tenth of the processor time that a process needs to start, to find 3,600 that go.
"""

import gc

collected_before = gc.isenabled()  # a program that imports Amani may have its own reasons not to


def pause_collector() -> None:
    gc.disable()


def resume_collector() -> None:
    """Collects as before the pause, without what was imported until now.

    Processes that are forked from this one leave it alone too: they would copy the pages of what they share.
    """
    gc.freeze()
    if collected_before:
        gc.enable()
