"""Compaction as the design's page defines it, in float64."""
