public import NIOHTTP1

/// A request as it goes to the origin.
public struct ForwardedRequest: Sendable {
    /// Always HTTP/1.1 with a target in origin or asterisk form, exactly one `Host`, and framing fields that say what
    /// `body` says.
    public var head: HTTPRequestHead
    /// `.none`, `.length` or `.chunked`.
    public var body: OldBodyFraming
    /// The client waits for `100 Continue` before it sends the body.
    public var expectsContinue: Bool
    /// The client asks to change the protocol, and the origin is told so.
    public var upgrades: Bool
    /// The client mentioned an upgrade at all: NIO's decoder reads nothing after such a request.
    public var stopsDecoder: Bool
    /// The client will read another response on this connection.
    public var clientPersists: Bool
    /// What the client speaks.
    public var clientVersion: ClientVersion

    public init(
        head: HTTPRequestHead, body: OldBodyFraming, expectsContinue: Bool, upgrades: Bool, stopsDecoder: Bool,
        clientPersists: Bool, clientVersion: ClientVersion
    ) {
        self.head = head
        self.body = body
        self.expectsContinue = expectsContinue
        self.upgrades = upgrades
        self.stopsDecoder = stopsDecoder
        self.clientPersists = clientPersists
        self.clientVersion = clientVersion
    }
}
