"""Deploy OpenStack Nova with pyinfra: what can be tested without a host."""
