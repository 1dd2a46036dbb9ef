public import HTTPFields
public import NIOCore

/// The facts of one request, or of one relayed connection, for its line in the access log. Made on an event loop; what it takes to
/// write the line is done by the writer's thread.
///
/// It holds no buffer of the connection's: what it needs of the request's bytes is copied, in one piece.
public struct AccessRecord: Sendable {
    let time: LogTimestamp
    public var client: SocketAddress?
    public var site: String
    /// `relay`, `handoff` or `keyless`.
    public var mode: String?
    /// The host that was asked for.
    public var host: String?
    /// Longer ones are cut.
    public var method: String? {
        didSet {
            guard let method, method.utf8.count > AccessText.limit else { return }
            self.method = String(decoding: method.utf8.prefix(AccessText.limit), as: UTF8.self)
        }
    }
    /// `HTTP/1.1`; nil: there was no HTTP.
    public var httpVersion: String?
    /// 0: the client left before it was answered.
    public var status: Int
    /// Bytes of content to the client; of a relayed connection all bytes to it.
    public var bytes: Int
    /// Bytes from the client, where that counts.
    public var received: Int?
    public var duration: TimeAmount
    /// From the beginning to the head of the answer.
    public var firstByte: TimeAmount?
    public var origin: Origin?
    public var cache: String?
    public var tls: ClientTLS?
    /// The connection's number; 0: it has none.
    public var connection: UInt64
    /// The request's on its connection, from 1; 0: there was none.
    public var number: Int
    public var outcome: String
    var text = AccessText()

    /// What an origin did for a request.
    public struct Origin: Sendable {
        public var address: SocketAddress?
        /// From the beginning to the head of its answer.
        public var firstByte: TimeAmount?
        public var duration: TimeAmount

        public init(address: SocketAddress?, firstByte: TimeAmount?, duration: TimeAmount) {
            self.address = address
            self.firstByte = firstByte
            self.duration = duration
        }
    }

    public init(site: String, status: Int, bytes: Int, duration: TimeAmount, outcome: String) {
        self.time = .now()
        self.site = site
        self.status = status
        self.bytes = bytes
        self.duration = duration
        self.connection = 0
        self.number = 0
        self.outcome = outcome
    }

    /// Copies what the request is called. Before ``take(_:_:for:)``.
    public mutating func takeRequestID(_ bytes: UnsafeRawBufferPointer) {
        self.text.append(bytes, limit: AccessText.limit)
    }

    /// Copies what the layout asks for.
    ///
    /// - Parameter target: as the client sent it.
    public mutating func take(_ target: ByteBuffer, _ fields: FieldSection?, for layout: AccessLayout) {
        if self.text.bytes.isEmpty { self.text.append(nil, limit: 0) }
        self.text.reserve(target.readableBytes, fields: fields, others: layout.requestFields.count)
        target.withUnsafeReadableBytes { self.text.append($0, limit: AccessText.targetLimit) }
        self.text.append(fields, .referer)
        self.text.append(fields, .userAgent)
        for name in layout.requestFields { self.text.append(fields, name) }
    }

    /// Bytes of memory, about.
    var size: Int {
        MemoryLayout<Self>.size + self.text.bytes.count + (self.method?.utf8.count ?? 0) + (self.host?.utf8.count ?? 0)
    }

    /// As nginx has it where the client did not wait for an answer.
    var shownStatus: Int { self.status == 0 ? 499 : self.status }
}

/// What is known of the TLS between the client and the edge.
public struct ClientTLS: Sendable, Equatable {
    /// `TLSv1.3`.
    public var version: String
    /// As IANA calls it.
    public var suite: String?
    public var group: String?
    public var resumed: Bool?

    public init(version: String, suite: String? = nil, group: String? = nil, resumed: Bool? = nil) {
        self.version = version
        self.suite = suite
        self.group = group
        self.resumed = resumed
    }
}

/// Pieces of text one behind the other, each with its length before it: one allocation for a record.
struct AccessText: Sendable {
    /// In this order. Requested fields follow.
    enum Piece: Int {
        case requestID, target, referrer, userAgent, others
    }

    /// Longer targets are cut.
    static let targetLimit = 8192
    static let limit = 2048
    private static let absent = UInt16.max

    private(set) var bytes: [UInt8] = []

    mutating func reserve(_ target: Int, fields: FieldSection?, others: Int) {
        let agent = fields?.first(.userAgent)?.value.count ?? 0
        let referrer = fields?.first(.referer)?.value.count ?? 0
        self.bytes.reserveCapacity(
            min(target, Self.targetLimit) + min(agent, Self.limit) + min(referrer, Self.limit) + 48 + 40 * others)
    }

    mutating func append(_ piece: UnsafeRawBufferPointer?, limit: Int) {
        guard let piece else { return self.append(length: Self.absent) }
        let cut = UnsafeRawBufferPointer(rebasing: piece.prefix(limit))
        self.append(length: UInt16(cut.count))
        self.bytes.append(contentsOf: cut)
    }

    mutating func append(_ fields: FieldSection?, _ name: KnownField) {
        guard let fields, let field = fields.first(name) else { return self.append(length: Self.absent) }
        fields.withBytes(field.value) { self.append($0, limit: Self.limit) }
    }

    mutating func append(_ fields: FieldSection?, _ name: FieldName) {
        guard let fields, let field = fields.first(name) else {
            return self.append(length: Self.absent)
        }
        fields.withBytes(field.value) { self.append($0, limit: Self.limit) }
    }

    private mutating func append(length: UInt16) {
        self.bytes.append(UInt8(truncatingIfNeeded: length))
        self.bytes.append(UInt8(truncatingIfNeeded: length >> 8))
    }

    /// nil: there is none.
    subscript(_ piece: Piece, _ offset: Int = 0) -> ArraySlice<UInt8>? {
        var place = 0
        var position = 0
        while position + 2 <= self.bytes.count {
            let length = UInt16(self.bytes[position]) | UInt16(self.bytes[position + 1]) << 8
            let count = length == Self.absent ? 0 : Int(length)
            if place == piece.rawValue + offset {
                return length == Self.absent ? nil : self.bytes[position + 2..<position + 2 + count]
            }
            position += 2 + count
            place += 1
        }
        return nil
    }
}
