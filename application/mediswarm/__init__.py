"""MediSwarm: hospitals train one model together, no patient's data leaves a hospital."""

__version__ = "0.1.0"
