"""The slot: the newest wins, what is borrowed is left alone, lockstep loses nothing."""

import random
import sys
import threading

import numpy as np
import pytest

from edged.core.shot import PictureFormat
from edged.edges.frames import Pacer, ShotSlot

WIDTH, HEIGHT = 32, 24
FORMAT = PictureFormat(WIDTH, HEIGHT, "bgr")


def publish(slot, value):
    slot.back.data[:] = value
    slot.back.t_s = float(value)
    return slot.publish()


def taken(slot, timeout_s=0.0):
    found = slot.take(timeout_s)
    assert found is None or found[1].size_bytes == found[0].data.size
    return found and found[0]


@pytest.fixture
def slot():
    slot = ShotSlot()
    slot.refit(FORMAT)
    return slot


def test_nothing_published_is_nothing_taken(slot):
    assert slot.take(0.0) is None
    assert slot.take(0.01) is None


def test_the_newest_wins_and_the_rest_is_counted(slot):
    for value in (1, 2, 3):
        publish(slot, value)
    frame = taken(slot)
    assert (frame.t_s, frame.data.min(), frame.data.max()) == (3.0, 3, 3)
    assert slot.dropped == 2
    assert slot.take(0.0) is None


def test_a_borrowed_frame_stays_as_it_is_while_others_are_published(slot):
    publish(slot, 1)
    frame = taken(slot)
    for value in range(2, 12):
        publish(slot, value)
    assert (frame.t_s, frame.data.min(), frame.data.max()) == (1.0, 1, 1)


def test_only_three_buffers_are_ever_used(slot):
    seen = set()
    for value in range(50):
        seen.add(id(slot.back.data))
        publish(slot, value)
        if value % 3 == 0:
            seen.add(id(taken(slot).data))
    assert len(seen) == 3


def test_two_threads_never_meet_in_one_buffer():
    """Rows are written one by one and the interpreter switches threads often: a shared buffer would show stripes."""
    slot = ShotSlot()
    slot.refit(FORMAT)
    last = 3000

    def produce():
        for value in range(1, last + 1):
            for row in slot.back.data.reshape(HEIGHT, -1):
                row[:] = value % 251
            slot.back.t_s = float(value)
            slot.publish()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    producer = threading.Thread(target=produce)
    producer.start()
    seen = []
    try:
        while not seen or seen[-1] < last:
            frame = taken(slot, 5.0)
            assert frame is not None
            value = frame.t_s
            for row in frame.data.reshape(HEIGHT, -1):
                assert row.min() == row.max() == value % 251
            assert frame.t_s == value
            seen.append(value)
    finally:
        sys.setswitchinterval(interval_s)
        producer.join()
    assert seen == sorted(set(seen))
    assert len(seen) + slot.dropped == last


def test_lockstep_drops_none():
    slot = ShotSlot(lockstep=True)
    slot.refit(FORMAT)
    producer = threading.Thread(target=lambda: [publish(slot, value) for value in range(200)])
    producer.start()
    times = [taken(slot, 5.0).t_s for _ in range(200)]
    producer.join()
    assert times == list(range(200))
    assert slot.dropped == 0


def test_closing_frees_a_producer_that_waits_in_lockstep():
    slot = ShotSlot(lockstep=True)
    slot.refit(FORMAT)
    assert publish(slot, 1) is True
    results = []
    producer = threading.Thread(target=lambda: results.append(publish(slot, 2)))
    producer.start()
    slot.close()
    producer.join(5.0)
    assert results == [False]


def test_waking_ends_a_long_wait(slot):
    results = []
    consumer = threading.Thread(target=lambda: results.append(slot.take(60.0)))
    consumer.start()
    while consumer.is_alive():
        slot.wake()
        consumer.join(0.01)
    assert results == [None]


def test_another_size_makes_new_buffers_and_leaves_the_borrowed_one(slot):
    publish(slot, 1)
    held = taken(slot)
    publish(slot, 2)
    assert slot.refit(PictureFormat(16, 8, "bgr"))
    assert slot.dropped == 1
    publish(slot, 3)
    frame = taken(slot)
    assert frame.data.shape == (8 * 16 * 3,)
    assert held.data.shape == (HEIGHT * WIDTH * 3,)
    assert np.all(held.data == 1)


def test_what_waits_is_unread_until_it_is_taken(slot):
    assert not slot.unread
    publish(slot, 1)
    assert slot.unread
    taken(slot)
    assert not slot.unread


def test_another_encoding_is_another_format(slot):
    assert slot.refit(PictureFormat(WIDTH, HEIGHT, "yuyv"))
    publish(slot, 1)
    assert slot.take(0.0)[1].encoding == "yuyv"


def test_the_same_size_keeps_the_buffers_and_what_waits_in_them(slot):
    publish(slot, 1)
    assert slot.refit(FORMAT)
    assert taken(slot).t_s == 1.0


def due(pacer, times):
    return [index for index, t_s in enumerate(times) if pacer.is_due(t_s)]


def test_thirty_a_second_at_ten_is_exactly_every_third():
    times = [1234.5 + index / 30 for index in range(900)]
    assert due(Pacer(10.0), times) == list(range(0, 900, 3))


def test_jitter_of_a_fifth_of_a_period_changes_nothing():
    jitter = random.Random(7)
    times = [index / 30 + jitter.uniform(-0.2, 0.2) / 30 for index in range(900)]
    assert due(Pacer(10.0), times) == list(range(0, 900, 3))


def test_a_rate_that_does_not_divide_is_kept_on_average():
    assert len(due(Pacer(10.0), [index / 25 for index in range(2500)])) == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("camera_fps", [2.0, 9.9, 10.0])
def test_of_a_slower_camera_every_picture_is_due(camera_fps):
    assert len(due(Pacer(10.0), [index / camera_fps for index in range(500)])) == 500


def test_a_gap_is_not_made_up_for():
    times = [index / 30 for index in range(30)] + [60 + index / 30 for index in range(30)]
    assert len(due(Pacer(10.0), times)) == 20


def test_time_that_jumps_back_does_not_stop_the_pictures():
    times = [1000 + index / 30 for index in range(30)] + [index / 30 for index in range(30)]
    assert len(due(Pacer(10.0), times)) == 20
