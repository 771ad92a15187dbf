"""What a GPU benchmark needs beside the kernels: limits, peers, the report."""
