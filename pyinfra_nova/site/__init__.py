"""What the operator said, checked: nothing here knows a host."""
