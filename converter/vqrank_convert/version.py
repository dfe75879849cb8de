"""The converter's version: written into every model file as its producer."""

__version__ = "0.1.0"
