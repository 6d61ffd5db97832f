"""`edged check`: everything that can be known before the start, in one sentence a problem."""

from __future__ import annotations

import argparse
import sys

from edged.cli.run import add_config_argument, lent, tell_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_config_argument(parser)


def execute(args: argparse.Namespace) -> int:
    """Says what will run, or raises what is wrong with it."""
    from edged import app, doctor

    def warn(warning: str) -> None:
        print(f"warning: {warning}", file=sys.stderr)

    tell_state()
    config, fitted = app.load(args.config, warn, lent=lent(args))
    for line in doctor.hidden(config):
        warn(line)
    spec = fitted.spec
    width_px, height_px = spec.input_size
    print(f"{args.config}: device {config.device.name} can run")
    print(f"  model {spec.name} {spec.version}: {width_px}x{height_px} {spec.input.color}, {len(spec.labels)} labels")
    for region in fitted.regions:
        if fitted.picture_px is not None:
            seen = f"{app.seen_share(spec, region, fitted.picture_px, config.camera.rotate_deg):.0%} of it"
            size = f"{fitted.picture_px[0]}x{fitted.picture_px[1]}"
        elif region.fit == "center-crop":
            seen, size = "its middle", "how much of it depends on the size of the stream"
        else:
            seen, size = "100% of it", "whatever the size of the stream"
        print(f"  region {region.name}: the model sees {seen} ({region.fit}, {size})")
    settings = app.settings(config, fitted)
    for rule, filed in zip(settings.rules(), fitted.rules, strict=True):
        origin = "" if rule == filed else f" (set while running; the file says {filed.score_threshold:g})"
        print(
            f"  rule {rule.name}: {rule.label} in {rule.region}, on at {rule.score_threshold:g}{origin} for "
            f"{rule.delay_on_s:g} s, off below {rule.release_threshold:g} for {rule.delay_off_s:g} s"
        )
    if not settings.enabled:
        print("  detection is switched off (set while running): publish ON to its enabled/set to switch it on")
    return 0
