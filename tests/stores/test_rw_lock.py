import threading
import time

from mmgen.stores.rw_lock import ReadWriteLock


def test_readers_share_and_a_writer_is_alone() -> None:
    lock, together, readers, most = ReadWriteLock(), threading.Barrier(4, timeout=10), 0, 0
    told: list[str] = []

    def read() -> None:
        with lock.shared():
            together.wait()  # all four are inside at once
            time.sleep(0.02)
            told.append("read")

    def write(number: int) -> None:
        nonlocal readers, most
        with lock.exclusive():
            readers += 1
            most = max(most, readers)
            time.sleep(0.002)
            told.append("write")
            readers -= 1

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    writers = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in writers:
        thread.start()
    for thread in threads + writers:
        thread.join()
    assert sorted(told) == ["read"] * 4 + ["write"] * 5 and most == 1


def test_a_waiting_writer_goes_before_later_readers() -> None:
    lock, told = ReadWriteLock(), list[str]()

    def write() -> None:
        with lock.exclusive():
            told.append("write")

    def read() -> None:
        with lock.shared():
            told.append("read")

    with lock.shared():
        writer = threading.Thread(target=write)
        writer.start()
        while not lock._waiting:
            time.sleep(0.001)
        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.02)
        assert told == []
    writer.join()
    reader.join()
    assert told == ["write", "read"]
