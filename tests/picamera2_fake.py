"""The few calls of picamera2 that are made, with the manners of the real one and no board under it.

Written after picamera2 0.3.38: what raises there raises here, with the same words; a buffer is real memory (mmap), so
that a view held too long stops its closing as it would on a board; a buffer that is back with the sensor is written
over. Only time is the test's: `wait()` never waits, a picture that was not delivered before it is a time-out.
"""

import atexit
import mmap
import os
from concurrent.futures import CancelledError, Future
from types import SimpleNamespace

import cv2
import numpy as np

PADDING, OVERWRITTEN = 0xEE, 0xDD
RUNNING, BUSY = "running", "busy"


def mode(size, crop, fps, bit_depth=10):
    """As one entry of `Picamera2.sensor_modes`; the crop is (x, y, width, height) in sensor pixels."""
    return {"format": "SRGGB10_CSI2P", "size": size, "crop_limits": crop, "fps": fps, "bit_depth": bit_depth}


# Camera Module 2 and 3, as their manuals list them.
IMX219 = [
    mode((640, 480), (1000, 752, 1280, 960), 206.65, 10),
    mode((1640, 1232), (0, 0, 3280, 2464), 41.85, 10),
    mode((1920, 1080), (680, 692, 1920, 1080), 47.57, 10),
    mode((3280, 2464), (0, 0, 3280, 2464), 21.19, 10),
    mode((640, 480), (1000, 752, 1280, 960), 206.65, 8),
    mode((1640, 1232), (0, 0, 3280, 2464), 83.7, 8),
]
IMX708 = [
    mode((1536, 864), (768, 432, 3072, 1728), 120.13),
    mode((2304, 1296), (0, 0, 4608, 2592), 56.03),
    mode((4608, 2592), (0, 0, 4608, 2592), 14.35),
]


def i420(picture):
    """The planes of a BGR picture, one after the other, (height * width * 3 / 2,) uint8."""
    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).reshape(-1)


class Sensor:
    """What hangs on one connector.

    Attributes:
        state: RUNNING, or BUSY: another program has it.
        align_px: the image processor pads the rows of Y to a multiple of it.
        formats: what it can make; the first where the asked one is not among them.
        starved: pictures that were lost because no buffer was with the sensor: the mark of a leaked request.
        lent: requests that the program has and did not release.
    """

    def __init__(self, model="imx219", where="/base/soc/i2c0mux/i2c@1/imx219@10", modes=IMX219, align_px=64):
        self.model = model
        self.where = where
        self.modes = modes
        self.align_px = align_px
        self.state = RUNNING
        self.formats = ["YUV420", "XBGR8888"]
        self.controls = {"FrameDurationLimits", "ExposureTime"}
        self.sizes = lambda size: size
        self.starts = True
        self.job_error = None
        self.metadata_error = None
        self.map_error = None
        self.starved = 0
        self.lent = 0
        self.most_lent = 0
        self.configurations = []
        self.timeouts_s = []
        self.opened = 0
        self.closed = 0
        self.camera = None

    def deliver(self, planes, stamp_s):
        """One picture is exposed: whether there was a buffer for it."""
        return self.camera.expose(planes, stamp_s)


class _Job:
    def __init__(self):
        self.future = Future()
        self.future.set_running_or_notify_cancel()


class _Request:
    """picamera2.CompletedRequest: counted references to one buffer."""

    def __init__(self, camera, memory, stamp_s):
        self.camera = camera
        self.memory = memory
        self.ref_count = 1
        self.stop_count = camera.stop_count
        self.stream_map = {"main": memory}
        self.config = dict(camera.camera_config)
        self.request = SimpleNamespace(metadata={"SensorTimestamp": round(stamp_s * 1e9), "ExposureTime": 9990})
        self.lent = False

    def get_metadata(self):
        assert self.request is not None
        if self.camera.sensor.metadata_error:
            raise self.camera.sensor.metadata_error
        return dict(self.request.metadata)

    def release(self):
        self.ref_count -= 1
        if self.ref_count < 0:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        if self.ref_count == 0:
            if self.lent:
                self.camera.sensor.lent -= 1
            self.camera.give_back(self.memory, recycle=self.stop_count == self.camera.stop_count)
            self.request, self.config, self.stream_map = None, {}, {}


class MappedArray:
    """picamera2.MappedArray: the buffer itself as an array, inside `with` alone."""

    def __init__(self, request, stream, reshape=True, write=True):
        self._memory = request.stream_map[stream]
        self._sensor = request.camera.sensor
        assert request.request is not None
        self._config = request.config[stream]
        self._reshape = reshape
        self._write = write

    def __enter__(self):
        if self._sensor.map_error:
            raise self._sensor.map_error
        self._array = np.frombuffer(self._memory, np.uint8)
        self._array.flags.writeable = self._write
        if self._reshape:
            self._array = self._array.reshape(self._config["size"][1] * 3 // 2, self._config["stride"])
        return self

    def __exit__(self, *_):
        del self._array

    @property
    def array(self):
        return self._array


class Picamera2:
    """picamera2.Picamera2 with its event loop taken out: the test's thread does its work."""

    sensors = ()

    @classmethod
    def global_camera_info(cls):
        return [
            {"Model": sensor.model, "Location": 2, "Rotation": 0, "Id": sensor.where, "Num": number}
            for number, sensor in enumerate(cls.sensors)
        ]

    def __init__(self, camera_num=0):
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self.is_open = False
        if camera_num >= len(self.sensors):
            raise RuntimeError(
                f'No camera number {camera_num} found - use "rpicam-hello --list-cameras" to check connected cameras'
            )
        self.sensor = self.sensors[camera_num]
        self.camera_config = {}
        self.started = False
        self.stop_count = 0
        self.jobs, self.completed, self.free, self.memories = [], [], [], []
        try:
            if self.sensor.state is BUSY:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
        except RuntimeError as error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.is_open = True
        self.sensor.opened += 1
        self.sensor.camera = self
        atexit.register(self.close)

    def __del__(self):
        self.close()

    def close(self):
        atexit.unregister(self.close)
        if not self.is_open:
            return
        self.stop()
        self.is_open = False
        self.camera_config = {}
        self.notifymeread.close()
        os.close(self.notifyme_w)
        self._free_memory()
        self.sensor.closed += 1
        self.sensor.camera = None

    @property
    def camera_controls(self):
        return dict.fromkeys(self.sensor.controls, (33, 100000, None))

    @property
    def sensor_modes(self):
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        return [dict(one) for one in self.sensor.modes]

    def create_video_configuration(self, main=None, raw=(), buffer_count=6, controls=None, queue=True, sensor=None):
        if not self.is_open:
            raise RuntimeError("Camera not opened")
        main = {"format": "XBGR8888", "size": (1280, 720), "preserve_ar": True} | (main or {})
        for key in main:
            if key not in ("format", "size", "stride", "preserve_ar"):
                raise ValueError(f"Bad key {key!r}: valid stream configuration keys are")
        main["size"] = (main["size"][0] - main["size"][0] % 2, main["size"][1] - main["size"][1] % 2)
        return {
            "main": main,
            "raw": raw,
            "buffer_count": buffer_count,
            "queue": queue,
            "sensor": sensor or {},
            "controls": {"FrameDurationLimits": (33333, 33333)} | (controls or {})
            if self.sensor.controls
            else controls,
        }

    def configure(self, config):
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        self.camera_config = {}
        bad_keys = set(config["sensor"]) - {"bit_depth", "output_size"}
        if bad_keys:
            raise RuntimeError(f"Unexpected keys {bad_keys} in sensor configuration")
        for name in config["controls"] or {}:
            if name not in self.sensor.controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        main = dict(config["main"])
        if main["format"] not in self.sensor.formats:
            main["format"] = self.sensor.formats[0]
        width_px, height_px = main["size"] = self.sensor.sizes(main["size"])
        main["stride"] = -(-width_px // self.sensor.align_px) * self.sensor.align_px
        main["framesize"] = main["stride"] * height_px * 3 // 2
        self._free_memory()
        self.memories = [mmap.mmap(-1, main["framesize"]) for _ in range(config["buffer_count"])]
        self.camera_config = {**config, "main": main}
        self.sensor.configurations.append(self.camera_config)

    def stream_configuration(self, name="main"):
        return self.camera_config[name]

    def start(self):
        assert self.camera_config, "it would start with a configuration of its own, made for a screen"
        if not self.sensor.starts:
            raise RuntimeError("Failed to start camera: Input/output error")
        self.free = list(self.memories)
        self.started = True

    def stop(self):
        if not self.started:
            return
        self.stop_count += 1
        self.started = False
        while self.completed:
            self.completed.pop(0).release()

    def capture_request(self, wait=None):
        job = _Job()
        self.jobs.append(job)
        self._run_jobs()
        return self.wait(job, timeout=None) if wait is not False else job

    def wait(self, job, timeout=None):
        self.sensor.timeouts_s.append(timeout)
        if not job.future.done():
            assert timeout is not None, "the real one would wait for ever"
            raise TimeoutError
        return job.future.result()

    def cancel_all_and_flush(self):
        for job in self.jobs:
            job.future.set_exception(CancelledError())
        self.jobs = []

    def expose(self, planes, stamp_s):
        if not self.started or not self.free:
            self.sensor.starved += 1
            return False
        memory = self.free.pop(0)
        self._write(memory, planes)
        self.completed.append(_Request(self, memory, stamp_s))
        self._run_jobs()
        while len(self.completed) > int(self.camera_config["queue"]):
            self.completed.pop(0).release()
        return True

    def give_back(self, memory, recycle):
        np.frombuffer(memory, np.uint8)[:] = OVERWRITTEN
        if recycle and self.started:
            self.free.append(memory)

    def _run_jobs(self):
        while self.jobs and (self.completed or self.sensor.job_error):
            job = self.jobs.pop(0)
            if self.sensor.job_error:
                job.future.set_exception(self.sensor.job_error)
                continue
            request = self.completed.pop(0)
            request.lent = True
            self.sensor.lent += 1
            self.sensor.most_lent = max(self.sensor.most_lent, self.sensor.lent)
            job.future.set_result(request)

    def _write(self, memory, planes):
        (width_px, height_px), stride = self.camera_config["main"]["size"], self.camera_config["main"]["stride"]
        whole = np.frombuffer(memory, np.uint8)
        whole[:] = PADDING
        taken = done = 0
        for width, height, row in (
            (width_px, height_px, stride),
            *[(width_px // 2, height_px // 2, stride // 2)] * 2,
        ):
            plane = planes[taken : taken + width * height].reshape(height, width)
            whole[done : done + row * height].reshape(height, row)[:, :width] = plane
            taken += width * height
            done += row * height

    def _free_memory(self):
        for memory in self.memories:
            memory.close()  # BufferError where somebody still has an array over it
        self.memories, self.free = [], []


def library(*sensors):
    """What `import picamera2` would give, with these cameras plugged in."""
    return SimpleNamespace(Picamera2=type("Picamera2", (Picamera2,), {"sensors": sensors}), MappedArray=MappedArray)
