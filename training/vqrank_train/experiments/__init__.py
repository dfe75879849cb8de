"""The table of docs/auc.md: every kind of model on both data sets, several seeds."""
