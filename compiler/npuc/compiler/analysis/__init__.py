"""What passes ask of the IR: fingerprints, sizes, lifetimes."""
