"""What clients may ask for, a module per subject."""
