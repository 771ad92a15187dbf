"""The benchmarks of the ChunkKV paper (arXiv 2502.00299) on a user's model and data, through a running server."""
