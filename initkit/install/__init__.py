"""From files to a system: what a service needs on one, and how it gets there."""
