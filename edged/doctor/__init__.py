"""`edged doctor`: asks the edges and has the core judge what they say. Part of the composition root.

Law: changes nothing. It writes no file, leaves nothing on the broker and stops no process; the camera alone is opened,
and only where nobody else uses it. No finding holds a password, nor an address that may have one in it.
"""

from edged.doctor.examination import examine
from edged.doctor.hiding import hidden
from edged.doctor.table import Table

__all__ = ["Table", "examine", "hidden"]
