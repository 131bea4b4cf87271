"""How long a deploy takes, against a floor measured in the same run on the same hosts."""
