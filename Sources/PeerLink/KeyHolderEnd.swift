/// One of several that a key holder is asked at: where it listens, or which key holder connects.
enum KeyHolderEnd: Hashable, Sendable, CustomStringConvertible {
    case address(PeerAddress)
    case dialling(PeerIdentity)

    var description: String {
        switch self {
        case .address(let address): "\(address)"
        case .dialling(let identity): "dialled by \(identity.name)"
        }
    }
}

extension KeyHolderPool.Configuration {
    /// In the order in which a pool counts them.
    var ends: [KeyHolderEnd] { self.addresses.map { .address($0) } + self.dialledBy.map { .dialling($0) } }

    /// How many a pool has links to.
    public var endCount: Int { self.addresses.count + self.dialledBy.count }
}
