internal import Foundation

/// What an edge tells its fleet of itself, every few seconds.
public struct EdgeHeartbeat: Codable, Equatable, Sendable {
    public struct Site: Codable, Equatable, Sendable {
        public var name: String
        public var mode: String
        /// Since the edge began.
        public var requests: Int64
        /// Of those, answered from its stores.
        public var hits: Int64

        public init(name: String, mode: String, requests: Int64 = 0, hits: Int64 = 0) {
            self.name = name
            self.mode = mode
            self.requests = requests
            self.hits = hits
        }
    }

    public struct KeyHolder: Codable, Equatable, Sendable {
        public var name: String
        /// What keeps this edge from using it; nil: nothing.
        public var problem: String?
        /// The key holder said that it has no grant for this edge.
        public var isRevoked: Bool

        public init(name: String, problem: String?, isRevoked: Bool) {
            self.name = name
            self.problem = problem
            self.isRevoked = isRevoked
        }
    }

    public struct Certificate: Codable, Equatable, Sendable {
        public var domain: String
        /// Seconds since 1970.
        public var notAfter: Int64

        public init(domain: String, notAfter: Int64) {
            self.domain = domain
            self.notAfter = notAfter
        }
    }

    /// Of latchstring.
    public var version: String
    /// When the edge began: milliseconds since 1970, by its clock.
    public var started: Int64
    /// When this was written: milliseconds since 1970, by the bus's clock.
    public var busTime: Int64
    public var sites: [Site] = []
    public var keyHolders: [KeyHolder] = []
    public var certificates: [Certificate] = []
    /// When the edge's own identity ends: seconds since 1970.
    public var identityNotAfter: Int64?
    /// Clients connected.
    public var connections: Int = 0
    /// Its position in the stream of purges.
    public var position: String = ""
    /// The highest counter of each signer, by the signer's key in hexadecimal digits.
    public var counters: [String: UInt64] = [:]
    /// Entries that it refused since it began.
    public var refused: Int64 = 0
    /// How often it could not be sure to have seen every purge, since it began.
    public var doubts: Int64 = 0
    /// What its health check says beside; nil: nothing.
    public var problem: String?

    public init(version: String, started: Int64, busTime: Int64) {
        self.version = version
        self.started = started
        self.busTime = busTime
    }

    public var isRevoked: Bool { self.keyHolders.contains { $0.isRevoked } }

    /// Of all requests, in per cent; nil without requests.
    public var hitRatio: Double? {
        let requests = self.sites.reduce(0) { $0 + $1.requests }
        return requests > 0 ? 100 * Double(self.sites.reduce(0) { $0 + $1.hits }) / Double(requests) : nil
    }

    /// - Parameter certificate: the leaf of the edge's identity, DER.
    public func report(fleet: String, edge: String, time: Int64, certificate: [UInt8]) -> EdgeReport? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else { return nil }
        var writer = FieldWriter()
        writer.writeCounted(certificate, by: UInt16.self)
        writer.write(data)
        // There is room for names and a signature.
        guard writer.bytes.count <= EdgeReport.maximumBytes - 4096 else { return nil }
        return EdgeReport(kind: .heartbeat, fleet: fleet, edge: edge, time: time, content: writer.bytes)
    }

    /// The certificate that stands in a heartbeat, which shows with what key it is signed.
    public static func certificate(of report: EdgeReport) -> [UInt8]? {
        guard report.kind == .heartbeat else { return nil }
        var reader = FieldReader(report.content)
        return reader.counted(by: UInt16.self)
    }

    public init?(_ report: EdgeReport) {
        guard report.kind == .heartbeat else { return nil }
        var reader = FieldReader(report.content)
        guard reader.counted(by: UInt16.self) != nil, let json = reader.bytes(reader.count),
            let heartbeat = try? JSONDecoder().decode(EdgeHeartbeat.self, from: Data(json)), heartbeat.isPlausible
        else { return nil }
        self = heartbeat
    }

    /// An edge that was taken over can sign any number. These are computed with.
    private var isPlausible: Bool {
        let counts: ClosedRange<Int64> = 0...(1 << 48)
        let seconds: ClosedRange<Int64> = 0...(EdgeReport.times.upperBound / 1000)
        return EdgeReport.times.contains(self.busTime) && EdgeReport.times.contains(self.started)
            && self.sites.count <= 1000 && self.keyHolders.count <= 1000 && self.certificates.count <= 1000
            && self.sites.allSatisfy { counts.contains($0.requests) && counts.contains($0.hits) }
            && self.certificates.allSatisfy { seconds.contains($0.notAfter) }
            && (self.identityNotAfter.map { seconds.contains($0) } ?? true)
            && counts.contains(Int64(self.connections)) && counts.contains(self.refused)
            && counts.contains(self.doubts)
    }
}
