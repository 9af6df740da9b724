"""What the gate runs: the repository's own lints, the coverage floors and the clean installs."""
