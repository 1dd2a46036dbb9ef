public import HSMWire

/// Where a private key comes from.
public enum KeySource: Hashable, Sendable {
    /// A PEM file's path, and that of the file with its passphrase if it is encrypted.
    case file(String, passphraseFile: String? = nil)
    /// A PEM text itself, and how messages call it.
    case text(String, name: String)
    /// A token: the key does not come out of it.
    case token(PKCS11URI)

    /// For messages.
    public var name: String {
        switch self {
        case .file(let path, _): path
        case .text(_, let name): name
        case .token(let uri): uri.name
        }
    }
}
