"""The one way out. A port reads rows from a `View`; a `View` pins, secures and meters each read."""

from polyport.access.policy import Policy
from polyport.access.view import Measure, Open, Order, View

__all__ = ["Measure", "Open", "Order", "Policy", "View"]
