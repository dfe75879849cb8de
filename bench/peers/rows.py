"""What is timed: the rows of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """kind: "encode" a history of `events`; "score" `candidates` of one user again and again; "cold", of 400 users in
    turn, each with a state of its own; "request", encode and score; "open" the model."""

    kind: str
    events: int = 0
    candidates: int = 0

    @property
    def name(self) -> str:
        return {
            "encode": f"encode {self.events:,}",
            "score": f"score {self.candidates:,}",
            "cold": f"score {self.candidates:,} cold",
            "request": f"encode {self.events:,} + score {self.candidates:,}",
            "open": "open",
        }[self.kind]


# Of scoring, `events` is the length of the histories scored.
ROWS = {
    "paper": [
        *(Row("encode", events) for events in (1_000, 10_000, 100_000)),
        *(Row("score", 10_000, candidates) for candidates in (1, 100, 1_000)),
        *(Row("cold", 1_000, candidates) for candidates in (1, 100, 1_000)),
        Row("request", 10_000, 100),
        Row("open"),
    ],
    "mobile": [Row("encode", 500), Row("score", 500, 50), Row("cold", 500, 50), Row("request", 500, 50), Row("open")],
}
COLD_USERS = 400
