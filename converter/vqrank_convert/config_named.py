"""What the configs of sequences have in common, whatever their kind."""


class Named:
    """A sequence by the name that its tensors have."""

    name: str

    @property
    def prefix(self) -> str:
        return f"sequences.{self.name}"


class OverEvents(Named):
    """A sequence over events themselves."""

    @property
    def parts(self) -> tuple[int, ...]:
        """There are no codebooks, so the checkpoint's tensors have no leading dimension."""
        return ()
