// PeerLink
