"""The planner: recipe and headers to stages and tasks."""

from solera.plan.build import PlanFaults, make_plan
from solera.plan.tasks import Plan

__all__ = ["Plan", "PlanFaults", "make_plan"]
