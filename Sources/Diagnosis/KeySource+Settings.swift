public import KeyHolder
public import Settings

extension KeySource {
    /// Where a site's key is, as its key holder's file says.
    public init(_ key: KeyHolderSettings.Key) {
        switch key {
        case .file(let path, let passphraseFile): self = .file(path, passphraseFile: passphraseFile)
        case .token(let uri): self = .token(uri)
        }
    }
}
