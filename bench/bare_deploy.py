"""What pyinfra itself costs: the operations of a converged compute, without anything in them."""

from bench.bare_operations import asked, passed

asked("Packages")
asked("Configuration")
passed(name="1")
passed(name="2")
asked("Compute services")
passed(name="3")
passed(name="4")
asked("Proof")
passed(name="5")
passed(name="6")
