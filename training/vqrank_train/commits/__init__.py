"""The `commits` data set: which file does a developer touch next?"""
