// HTTPForwarding
