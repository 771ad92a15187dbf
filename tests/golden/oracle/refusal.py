class Refusal(ValueError):
    """A request that the page answers with an error; retained_mass and budget are given where masses were the cause."""

    def __init__(self, reason: str, budget: int | None = None, retained_mass: list | None = None):
        super().__init__(reason)
        self.reason = reason
        self.budget = budget
        self.retained_mass = retained_mass
