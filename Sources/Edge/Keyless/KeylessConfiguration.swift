/// How a site in `keyless` mode is served.
public struct KeylessConfiguration: Sendable {
    /// The name of the key holder group, from the edge's configuration, that owns the site's private key.
    public var keyHolder: String

    public init(keyHolder: String) {
        self.keyHolder = keyHolder
    }
}
