/// Makes small, well-formed ClientHellos.
public struct TestHello: Sendable {
    /// The host name of the server_name extension; `nil` leaves the extension out.
    public var serverName: String?
    /// The supported_versions extension; `nil` leaves it out, as clients before TLS 1.3 do.
    public var versions: [UInt16]?
    public var legacyVersion: UInt16
    /// Bytes of a padding extension, to make the hello larger.
    public var padding: Int
    /// Offers no key share, so that a TLS 1.3 server answers with a HelloRetryRequest.
    public var asksForRetry = false

    public init(
        serverName: String? = "www.example.test", versions: [UInt16]? = [0x0304, 0x0303],
        legacyVersion: UInt16 = 0x0303, padding: Int = 0
    ) {
        self.serverName = serverName
        self.versions = versions
        self.legacyVersion = legacyVersion
        self.padding = padding
    }

    /// The handshake message.
    public var message: [UInt8] {
        var extensions: [UInt8] = []
        if let serverName {
            let name = [0] + Self.vector16(Array(serverName.utf8))
            extensions += Self.extension(0, Self.vector16(name))
        }
        if let versions {
            extensions += Self.extension(43, [UInt8(versions.count * 2)] + versions.flatMap(Self.bytes))
        }
        extensions += Self.extension(10, Self.vector16(Self.bytes(0x001d)))
        extensions += Self.extension(13, Self.vector16(Self.bytes(0x0403)))
        if self.asksForRetry { extensions += Self.extension(51, Self.vector16([])) }
        if self.padding > 0 { extensions += Self.extension(21, [UInt8](repeating: 0, count: self.padding)) }

        var body = Self.bytes(self.legacyVersion)
        body += (0..<32).map { UInt8($0) }
        body += [0]
        body += Self.vector16([0x13, 0x01, 0xc0, 0x2b])
        body += [1, 0]
        body += Self.vector16(extensions)
        return [1, UInt8(body.count >> 16)] + Self.bytes(UInt16(truncatingIfNeeded: body.count)) + body
    }

    /// The message in records that carry at most this many bytes each.
    public func records(of size: Int = 16_384) -> [UInt8] {
        let message = self.message
        return stride(from: 0, to: message.count, by: size).flatMap { start in
            [0x16, 0x03, 0x01] + Self.vector16(Array(message[start..<min(start + size, message.count)]))
        }
    }

    private static func bytes(_ value: UInt16) -> [UInt8] {
        [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)]
    }

    private static func vector16(_ content: [UInt8]) -> [UInt8] {
        self.bytes(UInt16(content.count)) + content
    }

    private static func `extension`(_ type: UInt16, _ content: [UInt8]) -> [UInt8] {
        self.bytes(type) + self.vector16(content)
    }
}
