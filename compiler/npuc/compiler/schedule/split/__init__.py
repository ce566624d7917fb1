"""Work for several cores: which core does what, and the weights that they load for each other."""
