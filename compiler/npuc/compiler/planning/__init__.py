"""Memory planning: addresses for buffers with lifetimes. It knows neither the IR nor a target."""
