"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in the user's input or surroundings.

    Its text says what is wrong, where, and the remedy; the command line prints it without a traceback.
    """


class Abandoned(Exception):  # noqa: N818 - the error is another process's
    """This process of several ends because another one did, which says why."""


class Interrupted(Exception):  # noqa: N818 - a request to stop is not an error
    """Training stopped because a signal asked for it, after its checkpoint was written."""

    def __init__(self, signal_number: int, step: int, total_steps: int, saved_step: int) -> None:
        place = "there" if saved_step == step else f"step {saved_step}"
        super().__init__(
            f"stopped by signal {signal_number} after step {step} of {total_steps}; `dvc repro` continues from {place}"
        )
        self.signal_number = signal_number
