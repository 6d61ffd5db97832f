"""Bare models: what a `.tflite` and the files that came with it say, what follows from that, and what does not.

Law: looks and concludes; installs nothing, runs nothing, and executes nothing that came with a file. Whatever a file
says is bounded before it is believed. What is concluded has a reason in words and an option that changes it.
"""

from edged.adoption.archive import Brought, open_source
from edged.adoption.assumptions import Assumption, Options, Question, Unanswered
from edged.adoption.graph import Graph
from edged.adoption.proposal import Proposal, propose

__all__ = ["Assumption", "Brought", "Graph", "Options", "Proposal", "Question", "Unanswered", "open_source", "propose"]
