"""From a federation file to startup kits and images."""
