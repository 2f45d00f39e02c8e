"""Bags of features: what a feature extractor made of whole-slide images, in STAMP's files and tables."""
