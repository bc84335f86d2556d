"""The five families of everyday word problems, by name."""

from clair.sandbox.families.base import Family
from clair.sandbox.families.bill import BILL
from clair.sandbox.families.marks import MARKS
from clair.sandbox.families.stock import STOCK
from clair.sandbox.families.trip import TRIP
from clair.sandbox.families.week import WEEK

FAMILIES: dict[str, Family] = {family.name: family for family in (BILL, TRIP, WEEK, STOCK, MARKS)}

__all__ = ["FAMILIES", "Family"]
