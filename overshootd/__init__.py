"""overshootd: unattended cameras to the Overshoot vision API."""

__version__ = "0.1.0"
