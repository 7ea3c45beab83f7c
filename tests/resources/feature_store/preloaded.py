"""What the server that forks applying processes loads once for all of them."""

from resources.feature_store.light import load_feast

load_feast()
