"""What people use today, in PyTorch: the same work as a compaction, on any device."""
