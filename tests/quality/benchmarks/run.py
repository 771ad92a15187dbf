"""The paper's benchmarks on a model and data of yours; see README.md."""

from paper_benchmarks.command_line import main

if __name__ == "__main__":
    main()
