"""What a run is about: whether it may begin, and what each host gets."""
