"""Pictures as drivers deliver them, made from BGR ones."""

import cv2
import numpy as np

from edged.core.shot import PictureFormat, Shot


def yuyv(picture):
    """(height, width, 2) uint8; colours are those of the left pixel of each pair, brightness within 16 to 235."""
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    height, width = picture.shape[:2]
    colours = planes.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    packed = np.empty((height, width, 2), np.uint8)
    packed[:, :, 0] = planes[:height]
    packed[:, 0::2, 1] = np.repeat(colours[0], 2, axis=0)
    packed[:, 1::2, 1] = np.repeat(colours[1], 2, axis=0)
    return packed


def yuv420(picture):
    """(height * 3 / 2, width) uint8."""
    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)


def jpeg(picture, quality=80):
    """(bytes,) uint8, as a webcam sends it: colours at half the width."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    done, data = cv2.imencode(".jpg", picture, options)
    assert done
    return data.reshape(-1)


ENCODERS = {"bgr": lambda picture: picture, "yuyv": yuyv, "yuv420": yuv420, "jpeg": jpeg}


def shot(picture, encoding="bgr", t_s=0.0):
    """A shot of a BGR picture and its format."""
    picture_format = PictureFormat(picture.shape[1], picture.shape[0], encoding)
    flat = np.ascontiguousarray(ENCODERS[encoding](picture)).reshape(-1)
    data = np.zeros(picture_format.size_bytes, np.uint8)
    data[: flat.size] = flat
    return Shot(data, flat.size, t_s), picture_format


def empty(width_px, height_px, encoding="bgr"):
    """A shot to be written into."""
    return Shot(np.zeros(PictureFormat(width_px, height_px, encoding).size_bytes, np.uint8), 0, 0.0)
