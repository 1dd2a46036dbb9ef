internal import KeyProtocol

/// What an edge says of itself on the bus, signed with the key of its identity.
///
/// Layout, big-endian: `LSFR` 1, kind (1 byte), fleet and edge (length in 1 byte, text), time (8 bytes), content (length in 4
/// bytes), and behind what is signed the signature (length in 2 bytes). The key is that of the identity's certificate.
public struct EdgeReport: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        case acknowledgement = 1
        case heartbeat = 2
    }

    public var kind: Kind
    public var fleet: String
    /// The name in the edge's identity.
    public var edge: String
    /// Milliseconds since 1970, by the edge's clock.
    public var time: Int64
    public var content: [UInt8]

    public init(kind: Kind, fleet: String, edge: String, time: Int64, content: [UInt8]) {
        self.kind = kind
        self.fleet = fleet
        self.edge = edge
        self.time = time
        self.content = content
    }

    private static let magic: [UInt8] = Array("LSFR".utf8) + [1]
    private static let context: [UInt8] = Array("latchstring fleet edge report 1".utf8) + [0]
    public static let maximumBytes = 128 * 1024
    /// What a time may be: milliseconds since 1970, up to the year 2286.
    static let times: ClosedRange<Int64> = 0...9_999_999_999_999

    private var body: [UInt8] {
        var writer = FieldWriter()
        writer.write(Self.magic)
        writer.write(self.kind.rawValue)
        writer.writeCounted(Array(self.fleet.utf8), by: UInt8.self)
        writer.writeCounted(Array(self.edge.utf8), by: UInt8.self)
        writer.write(self.time)
        writer.writeCounted(self.content, by: UInt32.self)
        return writer.bytes
    }

    /// - Parameter sign: signs bytes with the identity's key.
    public func sealed(_ sign: ([UInt8]) throws -> [UInt8]) rethrows -> [UInt8] {
        let body = self.body
        var writer = FieldWriter()
        writer.write(body)
        writer.writeCounted(try sign(Self.context + body), by: UInt16.self)
        return writer.bytes
    }

    /// Reads a report whose signature `verify` finds good; nil for all others.
    ///
    /// - Parameter verify: whether this is the signature of the edge of this report over these bytes.
    public static func open(
        _ bytes: [UInt8], verify: (_ report: EdgeReport, _ signed: [UInt8], _ signature: [UInt8]) -> Bool
    ) -> EdgeReport? {
        guard bytes.count <= Self.maximumBytes else { return nil }
        var reader = FieldReader(bytes)
        guard reader.bytes(Self.magic.count) == Self.magic,
            let kind = reader.byte().flatMap({ Kind(rawValue: $0) }),
            let fleet = reader.text(by: UInt8.self), PartyName.isLegal(fleet),
            let edge = reader.text(by: UInt8.self), PartyName.isLegal(edge),
            let time = reader.integer(as: Int64.self), Self.times.contains(time),
            let content = reader.counted(by: UInt32.self),
            let signature = reader.counted(by: UInt16.self), reader.isAtEnd
        else { return nil }
        let report = EdgeReport(kind: kind, fleet: fleet, edge: edge, time: time, content: content)
        return verify(report, Self.context + report.body, signature) ? report : nil
    }
}

/// How far an edge has come. `signers` says which orders it has done, and has on its disk. The ids say which part of the stream
/// it has looked at since its last acknowledgement, and the refusals what in there it did not do, and why.
public struct EdgeAcknowledgement: Equatable, Sendable {
    public var fleet: String
    public var edge: String
    public var time: Int64
    public var generation: Generation
    public var from: StreamID
    public var to: StreamID
    public var signers: [SignerKey: SignerProgress]
    public var refusals: [Refusal]

    public init(
        fleet: String, edge: String, time: Int64, generation: Generation, from: StreamID, to: StreamID,
        signers: [SignerKey: SignerProgress], refusals: [Refusal]
    ) {
        self.fleet = fleet
        self.edge = edge
        self.time = time
        self.generation = generation
        self.from = from
        self.to = to
        self.signers = signers
        self.refusals = refusals
    }

    public var report: EdgeReport {
        var writer = FieldWriter()
        writer.write(self.generation.bytes)
        writer.write(self.from)
        writer.write(self.to)
        writer.write(self.signers)
        writer.write(self.refusals)
        return EdgeReport(
            kind: .acknowledgement, fleet: self.fleet, edge: self.edge, time: self.time, content: writer.bytes)
    }

    /// nil unless the report is one.
    public init?(_ report: EdgeReport) {
        guard report.kind == .acknowledgement else { return nil }
        var reader = FieldReader(report.content)
        guard let generation = reader.bytes(16).flatMap({ Generation($0) }), let from = reader.streamID(),
            let to = reader.streamID(), let signers = reader.signers(), let refusals = reader.refusals(), reader.isAtEnd
        else { return nil }
        self.init(
            fleet: report.fleet, edge: report.edge, time: report.time, generation: generation, from: from, to: to,
            signers: signers, refusals: refusals)
    }

    /// What it says of an order.
    public enum Verdict: Equatable, Sendable {
        case done
        case refused(RefusalReason)
        /// Nothing.
        case silent
    }

    /// - Parameters:
    ///   - mark: ``Refusal/mark(of:)`` of what was written.
    ///   - id: where it stands in the stream, as the bus said when it was written.
    public func verdict(on order: PurgeEntry, mark: [UInt8], at id: StreamID) -> Verdict {
        guard self.generation == order.generation, self.from < id, id <= self.to else { return .silent }
        if let refusal = self.refusals.first(where: { $0.mark == mark || $0.id == id }) {
            return .refused(refusal.reason)
        }
        guard let progress = self.signers[order.signer], progress.includes(order.counter) else { return .silent }
        // Another order has this number at that edge.
        if progress.last == order.counter, progress.identity != order.identity { return .refused(.replayed) }
        return .done
    }
}
