"""What vqrank means to reach on `paper`: how many times as long the favourable export takes in ONNX Runtime, fp32."""

BASELINE = "ONNX Runtime"
PLAIN = "ONNX Runtime plain"
# row -> vqrank's fp32, vqrank's int8
TARGETS = {
    "encode 1,000": (1.6, 3.0),
    "encode 10,000": (2.2, 5.0),
    "encode 100,000": (2.8, 6.0),
    "score 1": (4.0, 5.0),
    "score 100": (1.2, 1.8),
    "score 1,000": (1.2, 1.8),
    "open": (50.0, 50.0),
}
# The same of encoding where the file stores the codewords of items.
STORED = {"encode 10,000": (8.0, 10.0)}
# Against the plain export encoding is to be so many times better still.
PLAIN_FACTOR = 3.0
EVERY = 1.0  # never slower than any peer in any row
