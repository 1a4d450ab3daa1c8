"""Simulations of active learning on labeled data sets, on what `prepal` offers to everybody.

    from prepal.simulation import SimulationOptions, read_items, simulate

`prepal simulate` is the same as a command.
"""

from prepal.simulation.curves import Curve, Curves, Point, read_curves
from prepal.simulation.datafile import DataFileError, Row, read_items
from prepal.simulation.folder import OtherSimulationError
from prepal.simulation.options import SimulationOptions
from prepal.simulation.plot import draw_curves
from prepal.simulation.simulate import ItemsRejectedError, simulate
from prepal.simulation.summary import summarize

__all__ = [
    "Curve",
    "Curves",
    "DataFileError",
    "ItemsRejectedError",
    "OtherSimulationError",
    "Point",
    "Row",
    "SimulationOptions",
    "draw_curves",
    "read_curves",
    "read_items",
    "simulate",
    "summarize",
]
