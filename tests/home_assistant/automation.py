"""The automations of docs/home-assistant.md, run as they stand there."""

from __future__ import annotations
