"""The bell: who waits is woken, whoever rings meanwhile."""

import asyncio
import threading

from cellmesh.kernel.waiting import Bell


class Scene:
    """Two threads that ring: the second changes the state, and rings, while the first looks at a waiter."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.state = False
        self.looked = threading.Semaphore(0)  # each look of the waiter's own
        self._first: threading.Thread | None = None

    def done(self) -> bool:
        if threading.current_thread() is not self._first:
            self.looked.release()
            return self.state
        self._first = None
        second = threading.Thread(target=self._change)
        second.start()
        second.join()
        return False  # what the first saw before the second changed it

    def _change(self) -> None:
        self.state = True
        self.bell.ring()

    def ring(self) -> None:
        for _ in range(2):  # before it is in the list of waiters, and after
            self.looked.acquire()
        self._first = threading.Thread(target=self.bell.ring)
        self._first.start()


def test_a_ring_while_another_thread_rings_is_not_lost() -> None:
    scene = Scene()
    waiting = threading.Thread(target=scene.bell.wait, args=(scene.done,), daemon=True)
    waiting.start()
    scene.ring()
    waiting.join(30)
    assert not waiting.is_alive()


def test_nor_is_it_in_a_coroutine() -> None:
    scene = Scene()

    async def main() -> None:
        waiting = asyncio.ensure_future(scene.bell.wait_async(scene.done))
        await asyncio.to_thread(scene.ring)
        await asyncio.wait_for(waiting, 30)

    asyncio.run(main())


def test_a_closed_loop_keeps_no_one_else_from_being_woken() -> None:
    bell = Bell()
    state = False
    closed = asyncio.new_event_loop()
    task = closed.create_task(bell.wait_async(lambda: state))
    closed.run_until_complete(asyncio.sleep(0))
    looked = threading.Semaphore(0)

    def done() -> bool:
        looked.release()
        return state

    waiting = threading.Thread(target=bell.wait, args=(done,), daemon=True)
    waiting.start()
    looked.acquire()
    looked.acquire()
    task.cancel()  # never seen: its loop does not run again
    closed.close()
    state = True
    bell.ring()
    waiting.join(30)
    assert not waiting.is_alive()


def test_the_beat_ends_with_the_last_who_awaits() -> None:
    bell = Bell()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            waiting = asyncio.ensure_future(bell.wait_async(lambda: False))
            await asyncio.sleep(0)
            assert list(bell._beats) == [loop]
            waiting.cancel()
            await asyncio.wait([waiting])
            assert not bell._beats

    asyncio.run(main())
