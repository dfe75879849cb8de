"""One trainer for every data set: inputs, scoring, starting values and the training loop."""
