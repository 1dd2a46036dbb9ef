/// How a site in `keyless` mode is served.
public struct KeylessConfiguration: Sendable {
    /// The name of the key holder, from the edge's configuration, that owns the site's private key.
    public var keyHolder: String
    /// Where requests go.
    public var origin: OriginConfiguration

    public init(keyHolder: String, origin: OriginConfiguration) {
        self.keyHolder = keyHolder
        self.origin = origin
    }
}
